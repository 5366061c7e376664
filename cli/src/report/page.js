// Elements, words, numbers, and one function for each section of the page. Names are text of users: they
// become the text of elements, never markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

/** An element with attributes and children; a child that is not an element becomes text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of a drawing. */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

function number(value, digits) {
  if (value === null || value === undefined) return "\u2013";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits || 0, maximumFractionDigits: digits || 0 });
}

function count(value, one, many) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let left = value;
  while (left >= 1000 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
  return `${number(left, at === 0 ? 0 : left < 10 ? 2 : 1)} ${units[at]}`;
}

function milliseconds(value) {
  return value >= 1000 ? `${number(value / 1000, 2)} s` : `${number(value, value < 10 ? 2 : 0)} ms`;
}

/** A node of the page's list. */
function node(place) {
  const [kind, key, degree, tokens, more, label] = data.named.nodes[place];
  const name = `${data.named.kinds[kind]}:${key}` + (label === null ? "" : ` (${label})`);
  return { name, short: label ?? key, kind: data.named.kinds[kind], degree, more,
    tokens: tokens.map((at) => data.named.tokens[at]) };
}

/** Tokens by their field: `title=toy title=story` is read as `title: story toy`. */
function tokensOf(place) {
  const { tokens, more } = node(place);
  const fields = new Map();
  for (const token of tokens) {
    const [field, value] = split(token);
    fields.set(field, [...(fields.get(field) || []), value]);
  }
  const parts = [...fields].map(([field, values]) => (field ? `${field}: ` : "") + values.join(" "));
  return parts.join(" \u00b7 ") + (more > 0 ? ` and ${number(more)} more` : "");
}

function split(token) {
  const at = token.indexOf("=");
  return at < 0 ? ["", token] : [token.slice(0, at), token.slice(at + 1)];
}

function table(columns, rows) {
  const cell = (tag, value, at) => make(tag, columns[at].number ? { class: "number" } : columns[at].name ? {} : { class: "bars" }, value);
  const head = make("tr", {}, columns.map((column, at) => cell("th", column.name, at)));
  const body = rows.map((row) => make("tr", {}, row.map((value, at) => cell("td", value, at))));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, body)));
}

const text = (name) => ({ name });
const figure = (name) => ({ name, number: true });

/** A list of nodes with scores; `act` makes a name a button. */
function ranked(items, show, act) {
  return make("ol", { class: "ranked" }, items.map(([place, score, agrees]) => {
    const { name } = node(place);
    const label = act && act(place)
      ? make("button", { class: "link name", type: "button" }, name) : make("span", { class: "name" }, name);
    if (act && act(place)) label.addEventListener("click", act(place));
    const words = tokensOf(place);
    return make("li", agrees ? { class: "agrees" } : {}, label, make("span", { class: "score" }, show(score)),
      words ? make("span", { class: "tokens" }, words) : null);
  }));
}

function choice(label, options, chosen, change) {
  const list = make("select", {}, options.map(([value, words]) => make("option", { value }, words)));
  list.value = chosen;
  list.addEventListener("change", () => change(list.value));
  return make("label", {}, label, list);
}

const page = document.getElementById("page");
const contents = make("nav", { "aria-label": "Contents" });

function section(id, title, ...children) {
  const part = make("section", { id }, make("h2", {}, title), ...children);
  contents.append(make("a", { href: `#${id}` }, title));
  page.append(part);
  return part;
}

function header() {
  const { summary } = data;
  document.title = `${data.store} \u00b7 Hedgerow report`;
  const state = summary.generation === null ? "no model is trained"
    : summary.dirty_nodes > 0
      ? `generation ${number(summary.generation)}, embedded at epoch ${number(summary.embedded)}; ${count(summary.dirty_nodes, "node has", "nodes have")} changed since`
      : `generation ${number(summary.generation)}, all embeddings up to date`;
  const lead = make("p", { class: "lead" }, `Hedgerow ${data.version} \u00b7 epoch ${number(summary.epoch)} \u00b7 ${state}.`);
  const figures = [["nodes", number(summary.nodes)], ["edges", number(summary.edges)],
    ["dirty nodes", number(summary.dirty_nodes)],
    ["on disk", bytes(Object.values(summary.bytes).reduce((sum, size) => sum + size, 0))]];
  page.append(make("header", {}, make("h1", { class: "name" }, data.store), lead,
    make("div", { class: "figures" }, figures.map(([name, value]) => make("div", {}, make("b", {}, value), name))),
    contents));
}

function summary() {
  const { summary } = data;
  const kinds = table([text("kind"), figure("nodes"), figure("without an edge"), figure("mean degree"), figure("median"),
    figure("90 %"), figure("99 %"), figure("largest")],
  data.degrees.map((kind) => [make("span", { class: "name" }, kind.kind + (summary.targets.includes(kind.kind) ? " (embedded)" : "")),
    number(kind.nodes), number(kind.alone), number(kind.mean, 2), ...kind.quantiles.map((value) => number(value))]));
  const relations = table([text("relation"), text("between"), figure("edges")], summary.relations.map((relation) => [
    make("span", { class: "name" }, relation.name),
    make("span", { class: "name" }, relation.kinds.map(([a, b]) => `${a} \u2013 ${b}`).join(", ")), number(relation.edges)]));
  const dense = summary.dense.length === 0 ? null
    : table([text("dense features"), figure("numbers")], summary.dense.map(([name, width]) => [make("span", { class: "name" }, name), number(width)]));
  const total = Object.values(summary.bytes).reduce((sum, size) => sum + size, 0);
  const files = Object.entries(summary.bytes).sort((a, b) => b[1] - a[1]).map(([name, size]) => {
    const bar = make("div", { class: "bar" });
    bar.style.width = `${(100 * size) / Math.max(total, 1)}%`;
    return [name, bar, bytes(size)];
  });
  const recipe = summary.recipe.length === 0 ? null
    : make("div", {}, make("h3", {}, "Model"), table([text("setting"), text("value")],
      summary.recipe.map(([name, value]) => [make("code", {}, name), make("span", { class: "name" }, value)])));
  section("summary", "Contents of the store", kinds, make("div", { class: "columns" },
    make("div", {}, make("h3", {}, "Relations"), relations, dense, make("h3", {}, "Files"),
      table([text("file"), text(""), figure("size")], files)), recipe));
}

function lists() {
  if (data.items.length === 0) return;
  const shown = make("div", {});
  const label = (item) => `${node(item.node).name} \u00b7 ${count(node(item.node).degree, "edge", "edges")}, rank ${number(item.rank)} of ${number(item.of)}`;
  const show = (at) => {
    const item = data.items[at];
    const columns = [["Model", "hedgerow similar", item.model, (score) => number(score, 3)],
      ["Walks alone", "hedgerow walk", item.walks, (visits) => count(visits, "visit", "visits")],
      ["Co-occurrence", "cosine of neighbor sets", item.shared, (score) => number(score, 3)]];
    const seen = new Map();
    for (const [, , list] of columns) for (const [place] of list || []) seen.set(place, (seen.get(place) || 0) + 1);
    shown.replaceChildren(make("p", { class: "tokens" }, tokensOf(item.node)), make("div", { class: "three" },
      columns.map(([title, how, list, words]) => make("div", {}, make("h3", {}, title), make("div", { class: "note" }, how),
        list === null ? make("p", { class: "note" }, data.summary.generation === null ? "No model is trained." : "This node has no embedding yet: run `hedgerow refresh`.")
          : list.length === 0 ? make("p", { class: "note" }, "No nodes were found.")
            : ranked(list.map(([place, score]) => [place, score, seen.get(place) > 1]), words)))));
  };
  const options = data.items.map((item, at) => [String(at), label(item)]);
  section("lists", "Similar nodes, three ways",
    make("p", {}, "The first ten nodes by the model, by walks and by co-occurrence, for sample nodes from the most linked to the least. Nodes in more than one list are bold. The score of the model is the cosine plus the popularity of the node."),
    make("div", { class: "controls" }, choice("Node", options, "0", show)), shown);
  show(0);
}
