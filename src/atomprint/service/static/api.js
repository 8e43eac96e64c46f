// Requests to the service, and what went wrong in words.

let token = "";

export function setToken(text) {
  token = text.trim();
}

export class Trouble extends Error {
  constructor(detail, status, failures = []) {
    super(detail);
    this.status = status;
    this.failures = failures;
  }
}

export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Trouble("The service does not answer: it may have stopped, or the network is down.", 0);
  }
  const content = await answer.json().catch(() => null);
  if (answer.ok && content) return content;
  const later = answer.headers.get("Retry-After");
  let detail = content?.detail ?? `The service answered with the code ${answer.status} and nothing that can be read.`;
  if (later) detail += ` Try again in ${later} s.`;
  throw new Trouble(sentence(detail), answer.status, content?.failures ?? []);
}

export function post(path, content) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
}

export function upload(path, files, texts, fields) {
  const form = new FormData();
  for (const text of texts) form.append("structures", text);
  for (const file of files) form.append("structures", file, file.name);
  for (const [name, values] of Object.entries(fields)) for (const value of [values].flat()) form.append(name, value);
  return ask(path, { method: "POST", body: form });
}

export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
