// The table of runs: AG Grid over pages of /api/v1/runs, without a round trip through the page.
// Whatever runs have recorded becomes text, never markup.
import * as AgGrid from "nicegui-aggrid";

const BLOCK = 100; // rows a request
const ROW = 32; // pixels
const STATES = {
  succeeded: "good",
  failed: "bad",
  canceled: "warn",
  running: "busy",
};
const WIDTHS = { model: 190, started: 160, status: 116, error: 320 };
const TIMES = ["started", "finished"];

function number(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en-US").replace("-", "−");
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

function duration(seconds) {
  if (seconds < 60) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.round(seconds);
  const pad = (part) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

function shown(name, value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") {
    return name === "seconds" || name.endsWith("_seconds") ? duration(value) : number(value);
  }
  if (TIMES.includes(name)) return `${value.slice(0, 10)} ${value.slice(11, 16)} UTC`;
  return String(value);
}

function text(tag, content, classes) {
  const element = document.createElement(tag);
  element.textContent = content;
  if (classes) element.className = classes;
  return element;
}

function runLink(params) {
  if (!params.data) return "";
  const link = text("a", params.data.run_id.slice(0, 8), "nicegui-link hub-id");
  link.href = `/runs/${encodeURIComponent(params.data.run_id)}`;
  link.title = params.data.run_id;
  link.tabIndex = -1; // Enter in the cell follows it
  return link;
}

function state(params) {
  if (!params.value) return "";
  return text("span", params.value, `hub-state hub-state-${STATES[params.value] ?? "plain"}`);
}

export default {
  template: "<div></div>",
  props: { columns: Array, query: Object },
  emits: ["loaded", "problem", "sorted", "selected", "arranged"],
  mounted() {
    AgGrid.ModuleRegistry.registerModules([AgGrid.AllCommunityModule]);
    this.asked = this.query && { ...this.query };
    this.names = [...this.columns];
    this.kept = new Map(); // selected runs, which may be out of sight
    this.observer = new MutationObserver(() => this.theme());
    this.observer.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.theme();
    this.api = AgGrid.createGrid(this.$el, {
      theme: AgGrid.themeQuartz.withPart(AgGrid.colorSchemeVariable).withParams({
        accentColor: "var(--hub-accent)",
        backgroundColor: "var(--hub-surface)",
        foregroundColor: "var(--hub-text)",
        borderColor: "var(--hub-line)",
        headerBackgroundColor: "var(--hub-inset)",
        fontFamily: "inherit",
        fontSize: 13,
        rowHeight: ROW,
        headerHeight: 36,
        cellHorizontalPadding: 12,
        wrapperBorderRadius: 4,
      }),
      columnDefs: this.definitions(),
      defaultColDef: { resizable: true, sortable: true, minWidth: 72, suppressHeaderMenuButton: true },
      getRowId: (params) => params.data.run_id,
      rowModelType: "infinite",
      cacheBlockSize: BLOCK,
      maxBlocksInCache: 8,
      maxConcurrentDatasourceRequests: 2,
      blockLoadDebounceMillis: 50,
      infiniteInitialRowCount: 10,
      rowSelection: { mode: "multiRow", checkboxes: true, headerCheckbox: false },
      selectionColumnDef: { pinned: "left", width: 44, minWidth: 44, resizable: false },
      suppressCellFocus: false,
      animateRows: false,
      suppressColumnVirtualisation: false,
      datasource: { getRows: (params) => this.rows(params) },
      onSortChanged: (event) => this.sorted(event),
      onSelectionChanged: () => this.selection(),
      onColumnMoved: (event) => event.finished && this.arranged(),
      onCellKeyDown: (params) => {
        if (params.event.key === "Enter" && params.column.getColId() === "run_id") {
          window.location.href = `/runs/${encodeURIComponent(params.data.run_id)}`;
        }
      },
    });
  },
  unmounted() {
    this.observer.disconnect();
    this.api?.destroy();
  },
  methods: {
    theme() {
      const dark = document.body.classList.contains("body--dark");
      this.$el.setAttribute("data-ag-theme-mode", dark ? "dark" : "light");
    },
    definitions() {
      const order = this.asked?.sort ?? "";
      const by = order.replace(/^-/, "");
      const sort = (name) => (name === by ? (order.startsWith("-") ? "desc" : "asc") : null);
      const first = {
        colId: "run_id",
        headerName: "run",
        valueGetter: (params) => params.data?.run_id,
        cellRenderer: runLink,
        pinned: window.innerWidth > 700 ? "left" : null,
        lockPosition: "left",
        width: 100,
        sort: sort("run_id"),
      };
      return [
        first,
        ...this.names.map((name, index) => ({
          colId: name,
          headerName: name,
          headerTooltip: name,
          valueGetter: (params) => params.data?.values[index],
          valueFormatter: (params) => shown(name, params.value),
          tooltipValueGetter: (params) =>
            params.value === null || params.value === undefined ? null : String(params.value),
          cellRenderer: name === "status" ? state : undefined,
          cellClass: "hub-number",
          width: WIDTHS[name] ?? Math.min(220, Math.max(104, 40 + 8 * name.length)),
          sort: sort(name),
        })),
      ];
    },
    parameters(more) {
      const wanted = { ...this.asked, ...more };
      const given = Object.entries(wanted).filter(([, value]) => value !== null && value !== "");
      return new URLSearchParams(given);
    },
    async rows(params) {
      if (!this.asked) {
        // the filter cannot be used; the page shows why
        params.successCallback([], 0);
        this.fit(0);
        return;
      }
      const [order] = params.sortModel;
      if (order) this.asked.sort = (order.sort === "desc" ? "-" : "") + order.colId;
      const names = this.names;
      const quoted = names.map((name) => (name.includes(",") ? `"${name}"` : name)).join(",");
      const asked = this.parameters({
        columns: quoted,
        first: params.startRow,
        limit: params.endRow - params.startRow,
      });
      let problem = "The server does not respond; the table shows what it had. Reload to try again.";
      try {
        const response = await fetch(`/api/v1/runs?${asked}`, {
          headers: { Accept: "application/json" },
          credentials: "same-origin",
        });
        const found = await response.json();
        if (response.ok) {
          if (names !== this.names) return params.failCallback(); // other columns are wanted by now
          params.successCallback(found.rows, found.total);
          this.fit(found.total);
          this.api.hideOverlay();
          if (found.total === 0) this.api.showNoRowsOverlay();
          this.$emit("loaded", { total: found.total, revision: found.revision });
          return;
        }
        problem = found.detail ?? problem;
      } catch {
        // no connection, or a response that is not ours
      }
      params.failCallback();
      this.$emit("problem", problem);
    },
    fit(total) {
      // a short table is as high as its rows, and has room for the bar that scrolls sideways
      const wanted = 36 + ROW * Math.max(total, 3) + 20;
      this.$el.style.height = `min(${wanted}px, max(320px, calc(100vh - 300px)))`;
    },
    sorted(event) {
      const [by] = event.api.getColumnState().filter((column) => column.sort);
      const order = by ? (by.sort === "desc" ? "-" : "") + by.colId : "-started";
      if (this.asked) this.asked.sort = order;
      if (event.source !== "api" && event.source !== "gridOptionsChanged") this.$emit("sorted", order);
    },
    selection() {
      this.$emit("selected", this.api.getSelectedNodes().map((node) => node.id));
    },
    arranged() {
      const order = this.api.getColumnState().map((column) => column.colId);
      const names = order.filter((name) => this.names.includes(name));
      if (names.join("\n") !== this.names.join("\n")) this.$emit("arranged", names);
    },
    ask(query, columns) {
      this.asked = query && { ...query };
      if (columns && columns.join("\n") !== this.names.join("\n")) {
        this.names = [...columns];
        this.api.setGridOption("columnDefs", this.definitions());
      }
      this.api.deselectAll();
      this.api.purgeInfiniteCache();
      this.api.ensureIndexVisible(0, "top");
    },
    refresh() {
      this.api.refreshInfiniteCache();
    },
    deselect() {
      this.api.deselectAll();
    },
  },
};
