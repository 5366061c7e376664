// The map of embeddings: colors, search, zoom, and the nearest nodes of a point; then the order of the sections.

function map() {
  if (data.map === null) return;
  const { points, shares } = data.map;
  const places = points.map(([place]) => place);
  const byPlace = new Map(places.map((place, at) => [place, at]));
  const [wide, high, edge] = [720, 520, 18];
  const reach = [0, 1].map((dimension) => {
    const values = points.map((point) => point[1 + dimension]);
    const [low, top] = [Math.min(...values), Math.max(...values)];
    return top > low ? [low, top] : [low - 1, low + 1];
  });
  // Both axes have the same unit.
  const scale = Math.min((wide - 2 * edge) / (reach[0][1] - reach[0][0]), (high - 2 * edge) / (reach[1][1] - reach[1][0]));
  const middle = reach.map(([low, top]) => (low + top) / 2);
  const view = { zoom: 1, x: 0, y: 0 };
  const spot = (at) => [wide / 2 + ((points[at][1] - middle[0]) * scale - view.x) * view.zoom, high / 2 - ((points[at][2] - middle[1]) * scale - view.y) * view.zoom];

  const svg = draw("svg", { class: "map", viewBox: `0 0 ${wide} ${high}`, tabindex: 0, role: "application", "aria-label": "Map of embeddings; arrow keys move between points, Enter lists the nearest" });
  const [ties, dots, marks] = [draw("g", {}), draw("g", {}), draw("g", {})];
  svg.append(ties, dots, marks);
  const drawn = points.map(() => draw("path", { class: "point" }));
  dots.append(...drawn);

  let chosen = null;
  let pointed = null;
  let classes = points.map(() => 0);
  const side = make("div", { class: "side", "aria-live": "polite", id: "nearest" });
  const told = make("p", { class: "note name", id: "pointed" }, "\u00a0");
  const key = make("div", {});

  const place = () => {
    svg.classList.toggle("near", view.zoom > 1);
    drawn.forEach((dot, at) => {
      const [x, y] = spot(at);
      dot.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    });
    mark();
  };
  const mark = () => {
    marks.replaceChildren(...[pointed, chosen].filter((at) => at !== null).map((at) => {
      const [cx, cy] = spot(at);
      return draw("circle", { class: "ring", cx, cy, r: at === chosen ? 9 : 7 });
    }));
    const near = chosen === null ? [] : points[chosen][3].map(([other]) => byPlace.get(other)).filter((at) => at !== undefined);
    ties.replaceChildren(...near.map((at) => {
      const [[x1, y1], [x2, y2]] = [spot(chosen), spot(at)];
      return draw("line", { class: "tie", x1, y1, x2, y2 });
    }));
  };
  const point = (at) => {
    pointed = at;
    told.textContent = at === null ? "\u00a0" : [node(places[at]).name, tokensOf(places[at])].filter(Boolean).join(" \u00b7 ");
    mark();
  };
  const choose = (at) => {
    chosen = at;
    mark();
    const words = tokensOf(places[at]);
    side.replaceChildren(make("h3", { class: "name" }, node(places[at]).name),
      make("p", { class: "tokens" }, [words, count(node(places[at]).degree, "edge", "edges")].filter(Boolean).join(" \u00b7 ")),
      make("div", { class: "note" }, "The nearest of all nodes by cosine. Nodes on the map are links."),
      ranked(points[at][3], (score) => number(score, 3), (other) => byPlace.has(other) ? () => choose(byPlace.get(other)) : null));
  };

  // Classes of points, each with its own color and shape. The last class has all other points.
  const quantiles = (values) => [...values].sort((a, b) => a - b);
  const schemes = new Map();
  const kinds = [...new Set(places.map((at) => node(at).kind))];
  if (kinds.length > 1) schemes.set("kind", { words: "kind", names: kinds.slice(0, 7), of: (at) => kinds.indexOf(node(places[at]).kind) });
  const fields = new Map();
  for (const at of places) {
    for (const token of node(at).tokens) {
      const [field, value] = split(token);
      if (!fields.has(field)) fields.set(field, new Map());
      fields.get(field).set(value, (fields.get(field).get(value) || 0) + 1);
    }
  }
  for (const [field, values] of [...fields].sort((a, b) => Math.max(...b[1].values()) - Math.max(...a[1].values()))) {
    const top = [...values].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 7).map(([value]) => value);
    // The rarest token is the most specific.
    const of = (at) => Math.max(...node(places[at]).tokens.map((token) => (split(token)[0] === field ? top.indexOf(split(token)[1]) : -1)), -1);
    schemes.set(`token ${field}`, { words: field ? `token ${field}` : "token", names: top, of,
      note: "The most frequent tokens. A node with several of them has the color of the rarest." });
  }
  const degrees = quantiles(places.map((at) => node(at).degree));
  const cuts = [...new Set([0.2, 0.4, 0.6, 0.8].map((share) => degrees[Math.floor(share * degrees.length)]))];
  schemes.set("degree", { words: "degree", names: [...cuts, null].map((cut, at) => at === 0 ? `below ${number(cut)}` : cut === null ? `${number(cuts[at - 1])} and more` : `${number(cuts[at - 1])} to ${number(cut - 1)}`),
    of: (at) => cuts.filter((cut) => node(places[at]).degree >= cut).length });

  const paint = (name) => {
    const scheme = schemes.get(name);
    classes = points.map((_, at) => scheme.of(at));
    const look = (at) => (at < 0 || at > 6 ? "other" : `c${at}`);
    drawn.forEach((dot, at) => {
      dot.setAttribute("class", `point ${look(classes[at])}`);
      dot.setAttribute("d", shape(Math.max(classes[at], 0), look(classes[at]) === "other" ? 2.6 : 3.8));
    });
    const totals = scheme.names.map((_, at) => classes.filter((found) => found === at).length);
    const entries = scheme.names.map((words, at) => [words, look(at), at, totals[at]]);
    const others = points.length - totals.reduce((sum, total) => sum + total, 0);
    if (others > 0) entries.push(["other", "other", 0, others]);
    key.replaceChildren(make("ul", { class: "legend" }, entries.map(([words, color, at, total]) => make("li", {},
      draw("svg", { viewBox: "-8 -7 16 14", "aria-hidden": "true" }, draw("path", { class: `point ${color}`, d: shape(at, 4.5) })),
      make("span", { class: "name" }, `${words} (${number(total)})`)))), scheme.note ? make("div", { class: "note" }, scheme.note) : "");
    find();
  };
  const search = make("input", { type: "search", placeholder: "key or token", autocomplete: "off", spellcheck: "false" });
  const found = make("span", { class: "note", role: "status" });
  const find = () => {
    const wanted = search.value.trim().toLowerCase();
    const fits = points.map((_, at) => wanted === "" || node(places[at]).name.toLowerCase().includes(wanted) || node(places[at]).tokens.some((token) => token.toLowerCase().includes(wanted)));
    drawn.forEach((dot, at) => dot.classList.toggle("faded", !fits[at]));
    found.textContent = wanted === "" ? "" : count(fits.filter(Boolean).length, "point", "points");
    return fits.indexOf(true);
  };
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && find() >= 0) choose(find());
  });

  const inside = (event) => {
    const box = svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * wide, ((event.clientY - box.top) / box.height) * high];
  };
  const nearest = ([x, y], most) => {
    let best = null;
    let least = most * most;
    points.forEach((_, at) => {
      const [a, b] = spot(at);
      const far = (a - x) ** 2 + (b - y) ** 2;
      if (far < least && !drawn[at].classList.contains("faded")) [best, least] = [at, far];
    });
    return best;
  };
  let held = null;
  svg.addEventListener("pointermove", (event) => {
    if (held && view.zoom > 1) {
      const [x, y] = inside(event);
      held.moved += Math.abs(x - held.x) + Math.abs(y - held.y);
      view.x -= (x - held.x) / view.zoom;
      view.y += (y - held.y) / view.zoom;
      [held.x, held.y] = [x, y];
      place();
      return;
    }
    point(nearest(inside(event), 14));
  });
  svg.addEventListener("pointerdown", (event) => {
    const [x, y] = inside(event);
    held = { x, y, moved: 0 };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointerup", (event) => {
    const at = nearest(inside(event), 18);
    if (held && held.moved < 6 && at !== null) choose(at);
    held = null;
  });
  svg.addEventListener("pointercancel", () => { held = null; });
  svg.addEventListener("pointerleave", () => point(null));
  svg.addEventListener("blur", () => point(null));
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && pointed !== null) choose(pointed);
    if (!way) return;
    event.preventDefault();
    const from = pointed ?? chosen;
    if (from === null) return point(nearest([wide / 2, high / 2], Infinity));
    const [x, y] = spot(from);
    let best = from;
    let least = Infinity;
    points.forEach((_, at) => {
      const [dx, dy] = [spot(at)[0] - x, spot(at)[1] - y];
      const [along, off] = [dx * way[0] + dy * way[1], Math.abs(dx * way[1]) + Math.abs(dy * way[0])];
      if (along > 0.01 && along + 2 * off < least && !drawn[at].classList.contains("faded")) [best, least] = [at, along + 2 * off];
    });
    point(best);
  });
  const zoom = (factor) => {
    view.zoom = Math.min(Math.max(view.zoom * factor, 1), 32);
    if (view.zoom === 1) [view.x, view.y] = [0, 0];
    place();
  };
  const button = (words, label, act) => {
    const made = make("button", { type: "button", "aria-label": label, title: label }, words);
    made.addEventListener("click", act);
    return made;
  };

  const first = [...schemes.keys()][0];
  const who = points.length < data.map.of ? `A sample of ${number(points.length)} of ${number(data.map.of)} embedded nodes` : `All ${number(points.length)} embedded nodes`;
  section("map", "Map of embeddings",
    make("p", {}, `${who}, on their first two principal components (PCA of ${number(data.map.sampled)}; ${number(shares[0] * 100, 1)} % and ${number(shares[1] * 100, 1)} % of the variance). The plane shows only a part of the differences. The lists of nearest nodes use all dimensions and all nodes.`),
    make("div", { class: "controls" }, choice("Color by", [...schemes].map(([name, { words }]) => [name, words]), first, paint),
      make("label", {}, "Find", search), found, button("+", "Zoom in", () => zoom(1.6)), button("\u2212", "Zoom out", () => zoom(1 / 1.6)), button("All", "Show all", () => zoom(0))),
    key, make("div", { class: "beside" }, make("div", {}, svg, told), side));
  side.append(make("p", { class: "note" }, "Click a point to list its nearest nodes, or select one with the arrow keys and press Enter."));
  paint(first);
  place();
}

function colophon() {
  section("about", "About this page", make("p", { class: "note" }, "The page contains all its data and makes no requests. Equal stores give equal pages. Samples are the nodes whose names have the smallest hashes, so they are the same each time."));
}

header();
summary();
distributions();
training();
map();
lists();
neighborhood();
cosines();
refreshes();
colophon();
