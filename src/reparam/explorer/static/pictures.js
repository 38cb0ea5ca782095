// Saving: every figure of the page as SVG or PNG, as it is seen, in a file of its own.

const PROPERTIES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "fill-opacity", "stroke-opacity",
  "opacity", "font-size", "font-family", "font-weight", "text-anchor"];
const SCALE = 2;

export function addSaving(root) {
  for (const figure of root.querySelectorAll("figure")) {
    if (figure.querySelector(".save")) continue;
    const bar = document.createElement("div");
    bar.className = "save";
    for (const kind of ["SVG", "PNG"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", `Save as ${kind}: ${titleOf(figure)}`);
      button.addEventListener("click", () => save(figure, kind));
      bar.append(button);
    }
    figure.append(bar);
  }
}

const titleOf = (figure) => figure.querySelector("figcaption")?.textContent ?? "picture";

async function save(figure, kind) {
  const drawing = standalone(figure);
  const text = new Blob([new XMLSerializer().serializeToString(drawing)], { type: "image/svg+xml" });
  const name = titleOf(figure).toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60);
  download(kind === "SVG" ? text : await rasterised(text, drawing), `${name}.${kind.toLowerCase()}`);
}

// The figure as one SVG: charts with their computed style, pictures as they are, words as words.
export function standalone(figure) {
  const box = figure.getBoundingClientRect();
  const drawing = element("svg", { width: box.width, height: box.height, viewBox: `0 0 ${box.width} ${box.height}` });
  drawing.append(element("rect", { width: box.width, height: box.height, fill: getComputedStyle(document.body).backgroundColor }));
  for (const chart of figure.querySelectorAll("svg.chart, svg.spark, svg#over")) {
    const place = chart.getBoundingClientRect();
    if (!place.width) continue;
    const copy = chart.cloneNode(true);
    const styled = [...copy.querySelectorAll("*")];
    [...chart.querySelectorAll("*")].forEach((original, index) => inline(original, styled[index]));
    for (const [key, value] of Object.entries(offset(place, box))) copy.setAttribute(key, value);
    drawing.append(copy);
  }
  for (const picture of figure.querySelectorAll("img, canvas")) {
    const place = offset(picture.getBoundingClientRect(), box);
    picture.dispatchEvent(new Event("redraw")); // what WebGL has drawn is gone once it is shown
    const href = picture.tagName === "IMG" ? picture.src : picture.toDataURL("image/png");
    drawing.insertBefore(element("image", { ...place, href, preserveAspectRatio: "none", "image-rendering": "pixelated" }), drawing.children[1] ?? null);
  }
  for (const words of figure.querySelectorAll("figcaption, .legend li, .under, td, th")) drawing.append(written(words, box));
  return drawing;
}

function written(words, box) {
  const place = words.getBoundingClientRect();
  const style = getComputedStyle(words);
  const size = parseFloat(style.fontSize);
  const text = element("text", { x: place.left - box.left + parseFloat(style.paddingLeft), y: place.top - box.top + size + parseFloat(style.paddingTop),
    fill: style.color, "font-size": size, "font-family": style.fontFamily });
  text.textContent = words.textContent;
  return text;
}

const offset = (place, box) => ({ x: place.left - box.left, y: place.top - box.top, width: place.width, height: place.height });

function inline(original, copy) {
  const style = getComputedStyle(original);
  for (const name of PROPERTIES) copy.setAttribute(name, style.getPropertyValue(name));
}

function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function rasterised(text, drawing) {
  return new Promise((resolve, reject) => {
    const address = URL.createObjectURL(text);
    const picture = new Image();
    picture.onerror = reject;
    picture.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = SCALE * Number(drawing.getAttribute("width"));
      canvas.height = SCALE * Number(drawing.getAttribute("height"));
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(address);
      canvas.toBlob(resolve, "image/png");
    };
    picture.src = address;
  });
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
