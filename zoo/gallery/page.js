"use strict";
// Filters the models by what the form says, and keeps that in the address, so that it can be sent to somebody.
const form = document.querySelector("form");
const models = [...document.querySelectorAll("article")];
const figures = [...document.querySelectorAll("figure")];
const fields = ["text", "family", "task", "license", "size"].map((name) => document.getElementById(name));
const words = new Map(models.map((model) => [model, `${model.textContent} ${model.dataset.words}`.toLowerCase()]));

function fits(model, asked) {
  const named = ["family", "task", "license"].every((key) => !asked[key] || model.dataset[key] === asked[key]);
  const small = !asked.size || Number(model.dataset.bytes) <= Number(asked.size) * 1e6;
  return named && small && asked.text.toLowerCase().split(/\s+/).every((word) => words.get(model).includes(word));
}

function show() {
  const asked = Object.fromEntries(fields.map((field) => [field.id, field.value.trim()]));
  const left = models.filter((model) => fits(model, asked));
  const names = new Set(left.map((model) => model.id));
  models.forEach((model) => { model.hidden = !names.has(model.id); });
  figures.forEach((figure) => {
    figure.hidden = !figure.dataset.models.split(" ").some((name) => names.has(name));
    figure.querySelectorAll("g").forEach((bar) => bar.toggleAttribute("data-off", !names.has(bar.dataset.model)));
  });
  document.getElementById("count").textContent = `${left.length} of ${models.length} models`;
  return asked;
}

function told(asked) {
  const said = Object.entries(asked).filter(([, value]) => value);
  history.replaceState(null, "", said.length ? `#?${new URLSearchParams(said)}` : location.pathname);
}

function ask() {
  if (!location.hash.startsWith("#?")) return;
  const said = new URLSearchParams(location.hash.slice(2));
  fields.forEach((field) => { field.value = said.get(field.id) || ""; });
  show();
}

function clear(event) {
  event.preventDefault(); // the browser would empty the fields only after this event
  fields.forEach((field) => { field.value = ""; });
  told(show());
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", () => told(show()));
form.addEventListener("reset", clear);
addEventListener("hashchange", ask);
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select");
  if (event.key === "/" && !typing) { event.preventDefault(); fields[0].focus(); }
  if (event.key === "Escape" && typing) { form.reset(); fields[0].focus(); }
});
show();
ask();
