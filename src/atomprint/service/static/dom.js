// Elements from a name, attributes and contents: text of others is never taken for markup.

export function make(name, attributes = {}, ...contents) {
  return filled(document.createElement(name), attributes, contents);
}

export function draw(name, attributes = {}, ...contents) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, contents);
}

function filled(element, attributes, contents) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...contents.filter((content) => content !== null && content !== undefined));
  return element;
}

export function find(id) {
  return document.getElementById(id);
}

// A name, unless it is a number that stands for none.
export function named(id) {
  return /^\d+$/.test(id) ? `number ${Number(id) + 1}` : id;
}

export function unitOf(text) {
  return text.replace(/\^(-?)(\d)/g, (_, sign, digit) => (sign ? "⁻" : "") + "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
}

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 1).replace("-", "−").replace("e+", "e");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}
