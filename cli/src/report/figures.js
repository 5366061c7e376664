// Figures that are drawn once: axes, curves, bars, a neighborhood.

const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 4", "1 4"];
const WIDTH = 460;
const HEIGHT = 240;
const EDGE = { left: 58, right: 12, top: 12, bottom: 40 };

/** The numbers that an axis is marked at. */
function ticks(from, to, wanted) {
  const raw = (to - from) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let at = Math.ceil(from / step - 1e-9); at * step <= to + step * 1e-9; at += 1) found.push(at * step + 0);
  return found;
}

function powers(from, to) {
  const found = [];
  for (let power = Math.ceil(Math.log10(from) - 1e-9); power <= Math.log10(to) + 1e-9; power += 1) found.push(10 ** power);
  return found;
}

/** The label of a number on an axis. */
function tick(value) {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(0).replace("e", " e");
  if (value === 0) return "0";
  if (Math.abs(value) >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  return value.toLocaleString("en-US", { maximumFractionDigits: 4 });
}

/** An axis: its range, its scale, linear or logarithmic, and its title. */
function axis(from, to, words, logarithmic) {
  const end = to > from ? to : from + (Math.abs(from) || 1);
  const place = logarithmic
    ? (value) => (Math.log(value) - Math.log(from)) / (Math.log(end) - Math.log(from))
    : (value) => (value - from) / (end - from);
  return { place, words, marks: logarithmic ? powers(from, end) : ticks(from, end, 5) };
}

/** An axis of whole numbers. */
function whole(scale) {
  scale.marks = scale.marks.filter(Number.isInteger);
  return scale;
}

/** A frame with two axes: the drawing, and the functions from numbers to coordinates. */
function chart(title, across, up) {
  const x = (value) => EDGE.left + across.place(value) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - up.place(value) * (HEIGHT - EDGE.top - EDGE.bottom);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  const bottom = HEIGHT - EDGE.bottom;
  for (const value of up.marks) {
    svg.append(draw("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }),
      draw("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
  }
  for (const value of across.marks) {
    svg.append(draw("line", { class: "axis", x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4 }),
      draw("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, tick(value)));
  }
  svg.append(draw("line", { class: "axis", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: bottom, y2: bottom }),
    draw("text", { x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, across.words),
    draw("text", { transform: `translate(12 ${(EDGE.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, up.words));
  return { svg, x, y, bottom };
}

function curve(frame, points, at) {
  const path = points.map(([a, b], step) => `${step === 0 ? "M" : "L"}${frame.x(a).toFixed(2)} ${frame.y(b).toFixed(2)}`);
  frame.svg.append(draw("path", { class: `curve stroke c${at % 7}`, d: path.join(""), "stroke-dasharray": DASHES[at % 7] }));
}

/** Bars from one number to the next, each with a tooltip. */
function bars(frame, boxes, at) {
  for (const [from, to, height, words] of boxes) {
    const [left, right, top] = [frame.x(from), frame.x(to), frame.y(height)];
    frame.svg.append(draw("rect", { class: `fill c${at}`, x: left, y: top, width: Math.max(right - left - 0.6, 0.6),
      height: Math.max(frame.bottom - top, 0) }, draw("title", {}, words)));
  }
}

function legend(names) {
  return make("ul", { class: "legend" }, names.map((name, at) => make("li", {},
    draw("svg", { viewBox: "0 0 16 14", "aria-hidden": "true" }, draw("path", { class: `curve stroke c${at % 7}`, d: "M0 7H16", "stroke-dasharray": DASHES[at % 7] })),
    make("span", { class: "name" }, name))));
}

function captioned(svg, ...words) {
  return make("figure", {}, svg, make("figcaption", {}, ...words));
}

function distributions() {
  const kinds = data.degrees.filter((kind) => kind.at_least.length > 0);
  const parts = [];
  if (kinds.length > 0) {
    const most = Math.max(...kinds.map((kind) => kind.at_least.at(-1)[0]));
    const least = Math.min(...kinds.map((kind) => kind.at_least.at(-1)[1] / kind.nodes));
    const frame = chart("Share of nodes with at least a degree, by kind",
      axis(1, Math.max(most, 2), "degree, log scale", true), axis(Math.min(least, 0.5), 1, "share of nodes with this degree or more", true));
    kinds.forEach((kind, at) => curve(frame, kind.at_least.map(([degree, nodes]) => [degree, nodes / kind.nodes]), at));
    parts.push(make("div", {}, make("h3", {}, "Degrees"), legend(kinds.map((kind) => kind.kind)),
      captioned(frame.svg, "The share of the nodes of a kind that have this degree or a larger one. All nodes count; the table above has those without an edge.")));
  }
  data.neighborhoods.filter((kind) => kind.sampled > 0).forEach((kind) => {
    const most = Math.max(kind.sizes.at(-1)[0], 1);
    const width = Math.ceil((most + 1) / 60);
    const boxes = new Map();
    for (const [size, nodes] of kind.sizes) {
      const at = Math.floor(size / width) * width;
      boxes.set(at, (boxes.get(at) || 0) + nodes);
    }
    const frame = chart(`Sizes of neighborhoods of ${kind.kind}`, whole(axis(0, most + width, "nodes in the neighborhood")),
      whole(axis(0, Math.max(...boxes.values()), "nodes with this size")));
    bars(frame, [...boxes].map(([at, nodes]) => [at, at + width, nodes,
      `${width === 1 ? at : `${at} to ${at + width - 1}`}: ${count(nodes, "node", "nodes")}`]), 0);
    const who = kind.sampled < kind.of ? `A sample of ${number(kind.sampled)} of ${number(kind.of)} nodes` : `All ${number(kind.of)} nodes`;
    parts.push(make("div", {}, make("h3", {}, "Neighborhoods of ", make("span", { class: "name" }, kind.kind)),
      captioned(frame.svg, `${who}: the number of nodes in the neighborhood of each.`)));
  });
  section("sizes", "Degrees and neighborhoods", make("div", { class: "columns" }, parts));
}

function training() {
  const { curve: learned, summary } = data;
  if (summary.generation === null) {
    const kind = summary.kinds[0] || "KIND";
    section("training", "Model", make("p", {}, "No model is trained in this store, so this page shows the graph only. ",
      make("code", {}, `hedgerow train STORE --target ${kind}`), " trains one and embeds every node of a kind. The page then has a map of the embeddings, loss and recall by epoch, and the lists of the model."));
    return;
  }
  if (learned === null || learned.epochs.length === 0) {
    section("training", "Training", make("p", {}, learned === null
      ? "An earlier version stored this model without its epochs; the next training stores them."
      : "The model was trained for no epoch: its parameters are the initial ones."));
    return;
  }
  const last = learned.epochs.at(-1)[0];
  const one = (title, of, at) => {
    const points = learned.epochs.filter((epoch) => epoch[of] !== null).map((epoch) => [epoch[0], epoch[of]]);
    if (points.length === 0) return make("div", {}, make("h3", {}, title), make("p", { class: "note" }, "No positives were held out, so this was not measured."));
    const values = points.map(([, value]) => value);
    const frame = chart(`${title} by epoch`, whole(axis(1, Math.max(last, 2), "epoch")), axis(Math.min(0, ...values), Math.max(...values), title.toLowerCase()));
    curve(frame, points, at);
    for (const [epoch, value] of points) {
      frame.svg.append(draw("circle", { class: `fill c${at}`, cx: frame.x(epoch), cy: frame.y(value), r: epoch === learned.kept ? 6 : 3 },
        draw("title", {}, `epoch ${epoch}: ${value}`)));
    }
    return make("div", {}, make("h3", {}, title), frame.svg);
  };
  section("training", "Training", make("p", {}, `${count(last, "epoch", "epochs")}; generation ${number(summary.generation)} has the parameters of epoch ${number(learned.kept)}, the large dot. Recall is the share of held-out positives among the first 20 answers to their query. The mean cosine of random pairs is near 1 if the embeddings have collapsed.`),
    make("div", { class: "columns" }, one("Loss", 1, 0), one("Held-out recall", 2, 2), one("Mean cosine of random pairs", 3, 1)));
}

function cosines() {
  const { cosines: found } = data;
  if (found === null || found.pairs === 0) return;
  const { bins, mean, deviation } = found;
  const width = 2 / bins.length;
  const taken = bins.map((pairs, at) => [pairs, at]).filter(([pairs]) => pairs > 0).map(([, at]) => at);
  const [first, last] = [Math.max(taken[0] - 2, 0), Math.min(taken.at(-1) + 3, bins.length)];
  const density = (pairs) => pairs / found.pairs / width;
  const normal = (value) => Math.exp(-(((value - mean) / deviation) ** 2) / 2) / (deviation * Math.sqrt(2 * Math.PI));
  const top = Math.max(...bins.map(density), deviation > 0 ? normal(mean) : 0);
  const frame = chart("Distribution of the cosines of random pairs", axis(-1 + first * width, -1 + last * width, "cosine of two random nodes"), axis(0, top, "density"));
  bars(frame, taken.map((at) => [-1 + at * width, -1 + (at + 1) * width, density(bins[at]),
    `${(-1 + at * width).toFixed(2)} to ${(-1 + (at + 1) * width).toFixed(2)}: ${count(bins[at], "pair", "pairs")}`]), 0);
  if (deviation > 0) {
    const steps = Array.from({ length: 161 }, (_, step) => -1 + width * (first + ((last - first) * step) / 160));
    curve(frame, steps.map((value) => [value, normal(value)]), 1);
  }
  const figures = table([text("figure"), figure("value")], [["pairs", number(found.pairs)], ["mean", number(mean, 4)],
    ["standard deviation", number(deviation, 4)], ["excess kurtosis", number(found.kurtosis, 3)]]);
  section("cosines", "Cosines of random pairs", make("div", { class: "beside" },
    captioned(frame.svg, "Bars: random pairs of the sampled embeddings. Dashes: the normal distribution of the same mean and deviation."),
    make("div", {}, figures, make("p", { class: "note" }, "A wider distribution separates near from far nodes better. The PinSage paper (arXiv 1806.01973) gives kurtosis 0.43 for its embeddings and 1.20 for visual ones."))));
}

function refreshes() {
  if (data.summary.generation === null) return;
  const all = data.refreshes;
  if (all.length === 0) {
    section("refreshes", "Refreshes", make("p", {}, "The store has no record of a refresh. It keeps the last 500 that changed something; a backup has none."));
    return;
  }
  const one = (title, of, at, words) => {
    const values = all.map(of).filter((value) => value > 0);
    if (values.length === 0) return null;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const from = 10 ** Math.floor(Math.log10(least));
    const frame = chart(`${title} of each refresh`, whole(axis(1, Math.max(all.length, 2), "refresh, oldest first")),
      axis(from, Math.max(10 ** Math.ceil(Math.log10(most)), from * 10), words, true));
    all.forEach((refresh, nth) => {
      if (of(refresh) <= 0) return;
      const [x, y] = [frame.x(nth + 1), frame.y(of(refresh))];
      const words = `epoch ${number(refresh.epoch)}: ${count(refresh.dirty_nodes, "dirty node", "dirty nodes")}, ${count(refresh.changed, "embedding", "embeddings")} changed, ${milliseconds(refresh.ms)}${refresh.full ? ", a rebuild" : ""}`;
      frame.svg.append(draw("path", { class: `fill c${refresh.full ? 1 : at}`, d: shape(refresh.full ? 1 : 0, 4), transform: `translate(${x} ${y})` }, draw("title", {}, words)));
    });
    return make("div", {}, make("h3", {}, title), frame.svg);
  };
  const rows = all.slice(-8).reverse().map((refresh) => [number(refresh.epoch), number(refresh.generation), number(refresh.dirty_nodes),
    number(refresh.changed), milliseconds(refresh.ms), refresh.full ? "a rebuild" : ""]);
  section("refreshes", "Refreshes", make("p", {}, `The last ${count(all.length, "refresh that recomputed", "refreshes that recomputed")} something. Each brought the embeddings to its epoch. Squares are rebuilds. Both scales are logarithmic.`),
    make("div", { class: "columns" }, one("Dirty nodes", (refresh) => refresh.dirty_nodes, 0, "dirty nodes"), one("Time", (refresh) => refresh.ms, 2, "ms")),
    table([figure("epoch"), figure("generation"), figure("dirty nodes"), figure("embeddings changed"), figure("time"), text("")], rows));
}

/** A drawing of a neighborhood. Nodes with more visits are nearer to the center. */
function neighborhood() {
  const items = data.items.filter((item) => item.neighborhood.length > 0);
  if (items.length === 0) return;
  const [drawing, list, words] = [make("div", {}), make("div", { class: "side" }), make("p", { class: "note" })];
  const show = (at) => {
    const item = items[at];
    const most = item.neighborhood[0][2];
    const least = item.neighborhood.at(-1)[2];
    const svg = draw("svg", { viewBox: "-330 -262 660 524", role: "img", "aria-label": `Neighborhood of ${node(item.node).name}` });
    const nodes = draw("g", {});
    item.neighborhood.forEach(([place, visits, share], nth) => {
      const angle = nth * 2.399963 - Math.PI / 2;
      const far = 88 + (most > least ? 118 * (1 - (share - least) / (most - least)) : 60) + (nth % 3) * 12;
      const [x, y] = [Math.cos(angle) * far * 1.2, Math.sin(angle) * far];
      svg.append(draw("line", { class: "stroke c0", x1: 0, y1: 0, x2: x, y2: y, "stroke-width": 0.6 + 4.4 * (share / most), "stroke-opacity": 0.45 }));
      nodes.append(draw("circle", { class: "point c0", cx: x, cy: y, r: 3 + 6 * Math.sqrt(share / most) },
        draw("title", {}, `${node(place).name}: ${count(visits, "visit", "visits")}, ${number(share * 100, 1)} %`)));
      if (nth < 12) {
        const right = x >= 0;
        nodes.append(draw("text", { class: "name strong", x: x + (right ? 11 : -11), y: y + 4, "text-anchor": right ? "start" : "end" }, brief(node(place).short)));
      }
    });
    svg.append(nodes, draw("circle", { class: "fill c1", r: 9 }), draw("text", { class: "name strong", y: -15, "text-anchor": "middle", "font-weight": 650 }, brief(node(item.node).short)));
    drawing.replaceChildren(svg);
    const shown = item.neighborhood.slice(0, 12);
    list.replaceChildren(make("h3", {}, `The first ${number(shown.length)} of ${number(item.size)}`),
      ranked(shown.map(([place, , share]) => [place, share]), (share) => `${number(share * 100, 1)} %`));
    words.textContent = `${node(item.node).name}: ${tokensOf(item.node) || "no tokens"}`;
  };
  const options = items.map((item, at) => [String(at), `${node(item.node).name} \u00b7 ${count(node(item.node).degree, "edge", "edges")}`]);
  section("neighborhood", "A neighborhood", make("p", {}, "The nodes that the walks from a node visit, and the share of the visits of each. Nodes with more visits are nearer to the center and have thicker lines. The first twelve are named."),
    make("div", { class: "controls" }, choice("Node in the center", options, "0", show)), words,
    make("div", { class: "beside" }, drawing, list));
  show(0);
}

function brief(name) {
  return [...name].length > 22 ? `${[...name].slice(0, 21).join("")}\u2026` : name;
}

/** Shapes that differ without color. */
function shape(at, size) {
  const s = size * 0.9;
  return [`M${-size} 0a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0Z`, `M${-s} ${-s}H${s}V${s}H${-s}Z`,
    `M0 ${-size * 1.2}L${size * 1.1} ${s}H${-size * 1.1}Z`, `M0 ${-size * 1.3}L${size * 1.3} 0L0 ${size * 1.3}L${-size * 1.3} 0Z`,
    `M0 ${size * 1.2}L${size * 1.1} ${-s}H${-size * 1.1}Z`, `M${-size * 1.2} ${-s / 2}H${-s / 2}V${-size * 1.2}H${s / 2}V${-s / 2}H${size * 1.2}V${s / 2}H${s / 2}V${size * 1.2}H${-s / 2}V${s / 2}H${-size * 1.2}Z`,
    `M${-size * 1.3} ${-s / 2}H${size * 1.3}V${s / 2}H${-size * 1.3}Z`][at % 7];
}
