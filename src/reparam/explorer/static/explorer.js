// The page's script: a form's state is the address; whatever changes it asks the server for new results.
import { mountMap, clearMap } from "./map.js";
import { addSaving } from "./pictures.js";

const PLANE = ["projection", "x", "y"], ON_PLANE = ["box", "place", "line", "lasso"]; // places of one plane mean nothing on another
const form = document.getElementById("controls");
const results = document.getElementById("results");
let asking = null; // the request under way
let again = false; // whether the form has changed since
let timer = 0;

const API = { query, set, remember };
const control = (name) => form.elements.namedItem(name);

export function query(changes = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") pairs.set(name, value);
  for (const [name, value] of Object.entries(changes)) value === "" ? pairs.delete(name) : pairs.set(name, value);
  return pairs.toString();
}

export function set(name, value, { ask = true } = {}) {
  const field = control(name);
  if (!field) return;
  field.value = value;
  showValue(field);
  if (ask) refresh();
}

function showValue(field) {
  if (field.type === "range") field.parentElement.querySelector("output").textContent = field.value;
}

// The address is the state: a link restores it.
export function remember() {
  const address = `/${document.body.dataset.tab}?${query()}`;
  history.replaceState(null, "", address);
  return address;
}

// One request at a time: while the server works, changes wait and are asked for together.
export async function refresh() {
  if (asking) { again = true; return; }
  if (!form.checkValidity()) { form.reportValidity(); return; }
  const address = remember();
  results.setAttribute("aria-busy", "true");
  asking = fetch(address, { headers: { "X-Fragment": "1" } });
  try {
    const answer = await asking;
    show(await answer.text(), answer.ok);
  } catch {
    show('<p role="alert">The server does not answer. Is reparam explore still running?</p>', true);
  }
  asking = null;
  results.setAttribute("aria-busy", "false");
  if (again) { again = false; refresh(); }
}

function show(text, ok) {
  const parsed = new DOMParser().parseFromString(text, "text/html");
  const parts = ok ? [...parsed.body.childNodes] : [alertOf(parsed)];
  const open = new Set([...results.querySelectorAll("details[open] > summary")].map((s) => place(s)));
  const map = results.querySelector("#map");
  results.replaceChildren(...parts.map((part) => document.adoptNode(part)));
  for (const summary of results.querySelectorAll("details > summary"))
    if (open.has(place(summary))) summary.parentElement.open = true;
  addSaving(results);
  mountMap(results, map, API);
}

const place = (summary) => `${summary.closest("section, .fact")?.querySelector("h2, .formula")?.textContent}/${summary.textContent}`;

function alertOf(parsed) {
  const paragraph = document.createElement("p");
  paragraph.setAttribute("role", "alert");
  paragraph.id = "refusal";
  paragraph.textContent = parsed.querySelector("#refusal")?.textContent ?? "The server could not answer.";
  return paragraph;
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 40);
}

// ---- what the buttons do

const ACTIONS = {
  draw() {
    set("eps", "", { ask: false });
    set("seed", String((Number(control("seed").value) + 1) % 2147483647));
  },
  hold() {
    const now = document.getElementById("eps-now");
    if (now) set("eps", now.value);
  },
  play() {
    const field = control("draws");
    const end = Number(field.value) > 1 ? Number(field.value) : Number(field.max);
    const steps = [1, 2, 3, 5, 8, 13, 20, 35, 60, 100, 160, 250, 400, 650].filter((k) => k < end).concat(end);
    const step = async () => {
      set("draws", String(steps.shift()), { ask: false });
      await refresh();
      if (steps.length) setTimeout(step, 180);
    };
    step();
  },
  reset() {
    for (const field of form.querySelectorAll("input[type=range]")) set(field.name, field.dataset.middle, { ask: false });
    refresh();
  },
  whole() { set("box", ""); },
  clear() {
    clearMap();
    for (const name of ["place", "line", "lasso"]) set(name, "", { ask: false });
    refresh();
  },
  theme() {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("reparam-theme", root.dataset.theme); } catch { /* private windows keep nothing */ }
    mountMap(results, results.querySelector("#map"), API);
  },
};

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
  form.addEventListener("input", (event) => {
    if (event.target.form !== form) return; // what the pointer does is no part of the state
    showValue(event.target);
    if (PLANE.includes(event.target.name)) for (const name of ON_PLANE) set(name, "", { ask: false });
    if (event.target.type !== "text") later();
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "run") { location.assign(`/${document.body.dataset.tab}?run=${event.target.value}`); return; }
    if (event.target.form === form && event.target.type === "text") later();
  });
  document.addEventListener("click", (event) => {
    const action = event.target.closest("button")?.id;
    if (Object.hasOwn(ACTIONS, action)) ACTIONS[action]();
    const link = event.target.closest("a[data-set]");
    if (link) {
      event.preventDefault();
      const [name, value] = link.dataset.set.split("=");
      set(name, value);
    }
    const saved = event.target.closest("a[data-query]");
    if (saved) saved.href = `${saved.pathname}?${query()}`;
  });
  if (results.getAttribute("aria-busy") === "true") refresh();
  else { addSaving(results); mountMap(results, null, API); }
}
