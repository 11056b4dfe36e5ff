// The layer of a map with land, outlines and footprints, drawn on a canvas; nothing is fetched from
// another host. Texts of users become text nodes only.
"use strict";

(() => {
  const LIMIT = 2000; // features of a response
  const MAX_RADIUS = 16;
  const GRATICULE = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]; // degrees
  let land = null; // of all maps of a page

  const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

  function loadLand(url) {
    land = land || fetch(url).then((response) => response.json());
    return land;
  }

  function textElement(tag, text) {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }

  function popup(lines, href, label) {
    const box = document.createElement("div");
    for (const line of lines) box.append(textElement("div", line));
    if (href) {
      const link = textElement("a", label);
      link.href = href;
      box.append(link);
    }
    return box;
  }

  // options: land, source, outlines, extent, colours: by → name → colour, samples: path of a page
  function Footprints(map, options) {
    const renderer = L.canvas({ padding: 0.2 });
    const [west, south, east, north] = options.extent;
    // across the antimeridian the map continues beyond 180°
    const shifted = west > east;
    const turn = (longitude) => (shifted && longitude < 0 ? longitude + 360 : longitude);
    const toLatLng = ([longitude, latitude]) => L.latLng(latitude, turn(longitude));
    const state = { by: options.by, only: null, asked: 0 };
    const ground = L.layerGroup().addTo(map);
    const lines = L.layerGroup().addTo(map);
    const outlines = L.layerGroup().addTo(map);
    const samples = L.layerGroup().addTo(map);

    function paint() {
      map.getContainer().style.background = css("--hub-inset");
      ground.clearLayers();
      loadLand(options.land).then((feature) => {
        ground.clearLayers();
        for (const offset of shifted ? [0, 360] : [0, -360, 360]) {
          L.geoJSON(feature, {
            renderer,
            interactive: false,
            coordsToLatLng: ([x, y]) => L.latLng(y, x + offset),
            style: { stroke: false, fillColor: css("--hub-line"), fillOpacity: 1 },
          }).addTo(ground);
        }
        ground.eachLayer((layer) => layer.bringToBack());
      });
      drawLines();
    }

    function drawLines() {
      lines.clearLayers();
      const bounds = map.getBounds();
      const span = Math.max(bounds.getEast() - bounds.getWest(), 0.02);
      const step = GRATICULE.findLast((each) => span / each <= 8) || GRATICULE[0];
      const style = { renderer, interactive: false, color: css("--hub-muted"), weight: 1, opacity: 0.35 };
      const digits = step < 1 ? 2 : 0;
      const named = (value, plus, minus) =>
        `${Math.abs(value).toFixed(digits)}° ${value < 0 ? minus : plus}`;
      const label = (place, text, kind = "") =>
        L.marker(place, {
          interactive: false,
          keyboard: false,
          icon: L.divIcon({ className: `hub-graticule ${kind}`, html: textElement("span", text), iconSize: [0, 0] }),
        }).addTo(lines);
      for (let x = Math.ceil(bounds.getWest() / step) * step; x <= bounds.getEast(); x += step) {
        L.polyline([[-85, x], [85, x]], style).addTo(lines);
        const wrapped = ((((x + 180) % 360) + 360) % 360) - 180;
        label([bounds.getSouth(), x], named(wrapped, "E", "W"));
      }
      for (let y = Math.ceil(bounds.getSouth() / step) * step; y <= bounds.getNorth(); y += step) {
        if (Math.abs(y) > 85) continue;
        L.polyline([[y, bounds.getWest()], [y, bounds.getEast()]], style).addTo(lines);
        label([y, bounds.getWest()], named(y, "N", "S"), "hub-parallel");
      }
    }

    function drawOutlines() {
      outlines.clearLayers();
      for (const { name, box, link, approximate } of options.outlines) {
        const [w, s, e, n] = box;
        const end = w > e ? e + 360 : turn(e);
        const start = w > e ? w : turn(w);
        L.rectangle([[s, start], [n, end]], {
          renderer,
          color: css("--hub-accent"),
          weight: 2,
          dashArray: approximate ? "6 4" : null,
          fill: !options.source,
          fillOpacity: 0.12,
        })
          .bindPopup(() => popup([name, approximate ? "known only roughly" : ""].filter(Boolean), link, "Open"))
          .addTo(outlines);
      }
    }

    function colour(category) {
      return options.colours[state.by][category] || css("--hub-muted");
    }

    function drawn(feature, place) {
      const { count, category } = feature.properties;
      const radius = count ? Math.min(5 + 1.6 * Math.log2(count), MAX_RADIUS) : 4;
      return L.circleMarker(place, {
        renderer,
        radius,
        color: css("--hub-surface"),
        weight: 1,
        fillColor: colour(category),
        fillOpacity: count ? 0.75 : 0.9,
      });
    }

    function described(feature, layer) {
      const { index, path, category, count, parts } = feature.properties;
      if (index !== undefined) {
        const query = `?sample=${encodeURIComponent(index)}`;
        layer.bindPopup(() => popup([path, category], options.samples + query, `Sample ${index}`));
        return;
      }
      const listed = Object.entries(parts).map(([name, number]) => `${name}: ${number.toLocaleString("en")}`);
      layer.bindPopup(() => popup([`${count.toLocaleString("en")} samples here`, ...listed]));
      layer.on("dblclick", () => map.setView(layer.getLatLng(), Math.min(map.getZoom() + 3, map.getMaxZoom())));
    }

    async function load() {
      if (!options.source) return;
      const asked = ++state.asked;
      const bounds = map.getBounds().pad(0.2);
      const box = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
      const query = new URLSearchParams({
        by: state.by,
        bbox: box.map((degrees) => degrees.toFixed(5)).join(","),
        zoom: String(Math.max(0, Math.round(map.getZoom()))),
        limit: String(LIMIT),
      });
      if (state.only !== null) query.set("only", state.only);
      const response = await fetch(`${options.source}?${query}`);
      if (asked !== state.asked) return; // the map has moved on
      if (!response.ok) {
        note(`The footprints cannot be read (${response.status}); reload the page.`);
        return;
      }
      const found = await response.json();
      if (asked !== state.asked) return;
      samples.clearLayers();
      L.geoJSON(found, {
        renderer,
        coordsToLatLng: toLatLng,
        pointToLayer: drawn,
        onEachFeature: described,
        style: ({ geometry, properties }) =>
          geometry.type === "Point"
            ? {}
            : { color: colour(properties.category), weight: 2, fillOpacity: 0.25 },
      }).addTo(samples);
      const singles = found.features.filter((each) => each.properties.index !== undefined).length;
      const clusters = found.features.length - singles;
      const grouped = clusters ? `, ${clusters.toLocaleString("en")} groups and ${singles.toLocaleString("en")} single ones` : "";
      note(`${found.matching.toLocaleString("en")} samples in view${grouped}`);
    }

    function note(text) {
      const element = document.getElementById(options.note);
      if (element) element.textContent = text;
    }

    function fit() {
      map.invalidateSize();
      map.fitBounds([[south, west], [north, shifted ? east + 360 : east]], { padding: [24, 24], maxZoom: 17 });
    }

    // legends and the button are plain HTML beside the map
    function listen(root) {
      root.addEventListener("change", (event) => {
        const { by, only } = event.target.dataset;
        if (by === undefined && only === undefined) return;
        state.by = by === undefined ? state.by : by;
        state.only = only || null;
        for (const legend of root.querySelectorAll("[data-legend]")) {
          legend.hidden = legend.dataset.legend !== state.by;
          if (by !== undefined) legend.querySelector("input").checked = true;
        }
        load();
      });
      root.addEventListener("click", (event) => {
        if (event.target.closest("[data-fit]")) fit();
      });
    }

    map.attributionControl.setPrefix(false);
    if (options.tiles) {
      L.tileLayer(options.tiles, { attribution: options.attribution, maxZoom: 19 }).addTo(map);
    } else {
      map.attributionControl.addAttribution("Natural Earth");
    }
    L.control.scale({ imperial: false }).addTo(map);
    if (!options.tiles) paint();
    new MutationObserver(() => {
      if (!options.tiles) paint();
      drawOutlines();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    map.on("moveend", () => {
      if (!options.tiles) drawLines();
      load();
    });
    // the wheel scrolls the page until the map is used
    map.scrollWheelZoom.disable();
    map.on("focus", () => map.scrollWheelZoom.enable());
    map.on("blur", () => map.scrollWheelZoom.disable());
    const root = map.getContainer().closest("[data-footprints]");
    if (root) listen(root);
    fit();
    drawOutlines();
    return samples;
  }

  // NiceGUI adds layers by the name of a function of L
  L.hubFootprints = (options) => ({ addTo: (map) => Footprints(map, options) });
})();
