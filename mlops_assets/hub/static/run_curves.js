// Curves of the logged metrics of one run or several, which grow while a run is under way.
import { echarts } from "nicegui-echart";

const SECONDS = 1.5; // between questions while a run is under way
const SHOWN = 12; // charts unless all are asked for
const MANY = 4000; // points of a curve, with more the server is asked for fewer of them
// colours of Okabe and Ito, which those who see few colours tell apart; darker where they are text
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#b5568a", "#8a6d00", "#3a86b5"];
const ON_DARK = ["#56b4e9", "#f0894a", "#3cc99a", "#e39ac4", "#e0b84c", "#b9e0fb"];

function shown(value) {
  if (value === null || value === undefined) return "–";
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

// exponential moving average with the weight of what is missing at the start taken out, as
// TensorBoard smooths
function smooth(values, weight) {
  if (!weight) return values;
  let last = 0;
  let count = 0;
  return values.map((value) => {
    if (value === null) return null;
    last = last * weight + (1 - weight) * value;
    count += 1;
    return last / (1 - weight ** count);
  });
}

export default {
  template: `
    <div class="run-curves">
      <div class="run-tools">
        <label><input type="checkbox" v-model="log"> Logarithmic scale</label>
        <label>Smoothing <input type="range" min="0" max="0.95" step="0.05" v-model.number="weight"></label>
        <label v-if="names.length > ${SHOWN}"><input type="checkbox" v-model="all"> All {{ names.length }} metrics</label>
        <span class="hub-note" role="status">{{ notice }}</span>
      </div>
      <ul v-if="runs.length > 1" class="run-legend" aria-label="Colours of the runs">
        <li v-for="(run, index) in runs" :key="run.id">
          <span :style="{ background: colour(index) }" aria-hidden="true"></span>{{ run.label }}
        </li>
      </ul>
      <div class="run-charts">
        <figure v-for="name in visible" :key="name">
          <figcaption>{{ name }} <span class="hub-note" v-if="runs.length === 1">{{ last(name) }}</span></figcaption>
          <div class="run-chart" role="img" :aria-label="summary(name)" :data-name="name"></div>
        </figure>
      </div>
      <p v-if="ready && !names.length" class="hub-note">{{ nothing }}</p>
      <details v-if="names.length" class="run-details">
        <summary>Curves as a table</summary>
        <div class="hub-scroll" tabindex="0" role="region" aria-label="Curves as a table">
          <table class="hub-table">
            <thead><tr><th scope="col">metric</th><th scope="col" v-if="runs.length > 1">run</th>
              <th scope="col">points</th><th scope="col">first</th><th scope="col">smallest</th>
              <th scope="col">largest</th><th scope="col">last</th><th scope="col">at step</th></tr></thead>
            <tbody><tr v-for="row in rows" :key="row.key">
              <td>{{ row.name }}</td><td v-if="runs.length > 1">{{ row.run }}</td>
              <td class="hub-number">{{ row.logged }}</td><td class="hub-number">{{ row.first }}</td>
              <td class="hub-number">{{ row.low }}</td><td class="hub-number">{{ row.high }}</td>
              <td class="hub-number">{{ row.last }}</td><td class="hub-number">{{ row.step }}</td>
            </tr></tbody>
          </table>
        </div>
      </details>
    </div>`,
  props: { runs: Array, nothing: String },
  emits: ["ended"],
  data: () => ({ log: false, weight: 0, all: false, names: [], notice: "", ready: false, change: 0, dark: false }),
  computed: {
    visible() {
      return this.all ? this.names : this.names.slice(0, SHOWN);
    },
    rows() {
      this.change; // counted with every new point
      const found = [];
      for (const name of this.visible) {
        for (const run of this.runs) {
          const curve = this.curves.get(run.id)?.found.get(name);
          if (!curve) continue;
          const known = curve.values.filter((value) => value !== null);
          found.push({
            key: `${run.id} ${name}`,
            name,
            run: run.label,
            logged: curve.logged,
            first: shown(curve.values[0]),
            low: shown(known.length ? known.reduce((a, b) => Math.min(a, b)) : null),
            high: shown(known.length ? known.reduce((a, b) => Math.max(a, b)) : null),
            last: shown(curve.values.at(-1)),
            step: curve.steps.at(-1),
          });
        }
      }
      return found;
    },
  },
  watch: {
    log: "draw",
    weight: "draw",
    visible() {
      this.$nextTick(() => this.draw());
    },
  },
  created() {
    this.curves = new Map(); // run → { attempt, next, status, found: name → curve }; not observed
    this.charts = new Map(); // name → chart
  },
  mounted() {
    this.resizing = new ResizeObserver(() => this.charts.forEach((chart) => chart.resize()));
    this.resizing.observe(this.$el);
    this.themes = new MutationObserver(() => this.theme());
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.theme();
    this.seen = () => document.hidden || this.follow();
    document.addEventListener("visibilitychange", this.seen);
    this.follow();
  },
  beforeUnmount() {
    this.gone = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
    this.resizing.disconnect();
    this.themes.disconnect();
    this.charts.forEach((chart) => chart.dispose());
  },
  methods: {
    colour(index) {
      return (this.dark ? ON_DARK : COLOURS)[index % COLOURS.length];
    },
    theme() {
      this.dark = document.body.classList.contains("body--dark");
      this.draw();
    },
    async follow() {
      clearTimeout(this.timer);
      if (this.busy || this.gone) return;
      this.busy = true;
      let again = false;
      try {
        for (const run of this.runs) again = (await this.read(run.id)) || again;
        this.notice = again ? "Updated while the run is under way." : "";
      } catch (problem) {
        again = true;
        this.notice = `The curves cannot be read: ${problem.message}`;
      }
      this.busy = false;
      this.ready = true;
      if (this.gone) return;
      this.draw();
      // a page that nobody sees asks again when it is seen
      if (again && !document.hidden) this.timer = setTimeout(() => this.follow(), 1000 * SECONDS);
    },
    async read(id) {
      const known = this.curves.get(id);
      if (known && known.status !== "running") return false;
      let found = await this.ask(id, known?.next ?? 0);
      const crowded = known && [...known.found.values()].some((curve) => curve.values.length > MANY);
      if (known && (found.attempt !== known.attempt || crowded)) found = await this.ask(id, 0);
      const curves = found.first === 0 ? new Map() : known.found;
      for (const curve of found.curves) {
        const before = curves.get(curve.name);
        curves.set(curve.name, {
          steps: [...(before?.steps ?? []), ...curve.steps],
          values: [...(before?.values ?? []), ...curve.values],
          logged: (before?.logged ?? 0) + curve.logged,
        });
      }
      this.curves.set(id, { attempt: found.attempt, next: found.next, status: found.status, found: curves });
      if (known && found.status !== "running") this.$emit("ended", found.status);
      if (found.curves.length) this.change += 1;
      const counts = new Map();
      for (const each of this.curves.values()) {
        for (const name of each.found.keys()) counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      // one point is no curve: beside each other only what was logged more often
      const often = (name) => [...this.curves.values()].some((each) => each.found.get(name)?.logged > 1);
      const curved = this.runs.length > 1 ? [...counts.keys()].filter(often) : [...counts.keys()];
      const names = curved.sort((a, b) => counts.get(b) - counts.get(a) || a.localeCompare(b));
      if (names.join("\n") !== this.names.join("\n")) this.names = names;
      return found.status === "running";
    },
    async ask(id, first) {
      const response = await fetch(`/api/v1/runs/${encodeURIComponent(id)}/curves?first=${first}`, {
        credentials: "same-origin",
      });
      const found = await response.json();
      if (!response.ok) throw new Error(found.detail ?? `status ${response.status}`);
      return found;
    },
    last(name) {
      this.change;
      const curve = this.curves.get(this.runs[0].id)?.found.get(name);
      return curve ? `${shown(curve.values.at(-1))} at step ${curve.steps.at(-1)}` : "";
    },
    summary(name) {
      const rows = this.rows.filter((row) => row.name === name);
      const parts = rows.map((row) => `${row.run}: ${row.logged} points, from ${row.first} to ${row.last}`);
      return `Curve of ${name}. ${parts.join("; ")}`;
    },
    draw() {
      this.$nextTick(() => {
        if (this.gone) return;
        const style = getComputedStyle(document.body);
        const muted = style.getPropertyValue("--hub-muted").trim() || "#666";
        const line = style.getPropertyValue("--hub-line").trim() || "#ccc";
        const places = new Map();
        for (const place of this.$el.querySelectorAll(".run-chart")) places.set(place.dataset.name, place);
        for (const [name, chart] of this.charts) {
          if (places.get(name) !== chart.getDom()) {
            chart.dispose();
            this.charts.delete(name);
          }
        }
        for (const [name, place] of places) this.chart(name, place, muted, line);
      });
    },
    chart(name, place, muted, line) {
      if (!this.charts.has(name)) this.charts.set(name, echarts.init(place));
      const axis = { axisLabel: { color: muted }, splitLine: { lineStyle: { color: line } } };
      const series = this.runs.map((run, index) => {
        const curve = this.curves.get(run.id)?.found.get(name) ?? { steps: [], values: [] };
        // a logarithmic axis has no place for what is not positive
        const fit = (value) => (this.log && value !== null && value <= 0 ? null : value);
        const values = smooth(curve.values, this.weight);
        return {
          name: run.label,
          type: "line",
          showSymbol: curve.steps.length < 3,
          symbolSize: 6,
          lineStyle: { width: 1.6 },
          color: this.colour(index),
          data: curve.steps.map((step, at) => [step, fit(values[at])]),
        };
      });
      const tip = {
        trigger: "axis",
        confine: true,
        renderMode: "richText", // text, never markup
        valueFormatter: shown,
      };
      this.charts.get(name).setOption(
        {
          animation: false,
          grid: { left: 8, right: 12, top: 12, bottom: 4, containLabel: true },
          tooltip: tip,
          xAxis: { type: "value", min: "dataMin", max: "dataMax", minInterval: 1, ...axis, splitLine: { show: false } },
          yAxis: { type: this.log ? "log" : "value", scale: true, ...axis },
          series,
        },
        { notMerge: true },
      );
    },
  },
};
