// What every page uses: requests with a deadline, looking again and again, and pieces of pages that are put in place.
import {selectedIn, unlessSelected} from './selection.js';

export const base = document.querySelector('meta[name="katib-base"]').content;
const token = document.querySelector('meta[name="katib-token"]').content;
const REQUEST_MS = 30000;
// The manager is older than the dashboard, as in the middle of an upgrade.
const NOT_YET = 501;
const NOT_LOGGED_IN = 401;

export class RequestError extends Error {
  constructor(status, message, problems = [], retryAfter = '') {
    super(message);
    this.status = status;
    // In milliseconds; 0: the server did not say.
    this.retryAfter = Number(retryAfter) * 1000 || 0;
    this.problems = problems;
  }
  // The manager or the dashboard is away, which passes by itself.
  get away() { return [0, 502, 503, 504].includes(this.status) || this.status === NOT_YET; }
}

export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(base + path, {...options, signal: AbortSignal.timeout(REQUEST_MS)});
  } catch {
    throw new RequestError(0, 'the dashboard does not answer');
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new RequestError(response.status, body.error || `the dashboard answered ${response.status}`, body.problems, response.headers.get('retry-after'));
}

export async function getJson(path) {
  const response = await request(path);
  try {
    return await response.json();
  } catch {
    throw new RequestError(0, 'the answer of the dashboard broke off');
  }
}

export const post = async (path, body = {}) => (await request(path, {
  method: 'POST',
  headers: {'content-type': 'application/json', 'x-katib-token': token},
  body: JSON.stringify(body),
})).json();

const away = document.getElementById('away');

// Calls `look` every `ms` until it gives false, or after as many milliseconds as it gives; while a page is hidden, not at all. A manager that is away is said to be so. `hold` lets it be until `now`, as what it asks for is about to be gone, and waits a little for the answer that is on its way.
export function repeat(look, ms) {
  let failures = 0;
  let timer = 0;
  let busy = false;
  let held = false;
  let current = Promise.resolve();
  const go = () => {
    if (!busy && !held) current = step();
    return current;
  };
  const step = async () => {
    if (document.hidden) { timer = 0; return; }
    busy = true;
    let more = true;
    try {
      more = await look();
      if (failures) away.hidden = true;
      failures = 0;
    } catch (error) {
      // Of a defect of ours the console says more; the page still says that it is not up to date.
      if (!(error instanceof RequestError)) console.error(error);
      failures += 1;
      more = error.away || failures < 5;
      away.textContent = error.away
        ? `The manager does not answer: what you see is as it was. Looking again by itself. (${error.message})`
        : error.status === NOT_LOGGED_IN ? 'This page cannot be brought up to date: your login is not good any more. Load the page again to log in.'
          : `This page cannot be brought up to date: ${error.message}`;
      away.hidden = false;
    } finally {
      busy = false;
    }
    if (more === false) { document.removeEventListener('visibilitychange', seen); return; }
    // Not everybody at the same instant.
    timer = setTimeout(go, Math.min((typeof more === 'number' ? more : ms) * 2 ** failures, 10000) * (0.85 + 0.3 * Math.random()));
  };
  const seen = () => { if (!document.hidden) { clearTimeout(timer); go(); } };
  document.addEventListener('visibilitychange', seen);
  go();
  return {
    now: () => { held = false; clearTimeout(timer); return go(); },
    hold: () => { held = true; clearTimeout(timer); return Promise.race([current, new Promise((then) => { setTimeout(then, 2000); })]); },
  };
}

// Puts HTML that our own server made, and escaped, in the place of a piece of the page; rows that stay the same keep the focus.
export function put(target, html) {
  unlessSelected(target, () => { if (target.katibHtml !== html) replace(target, html); });
}

function replace(target, html) {
  target.katibHtml = html;
  const fresh = new DOMParser().parseFromString(html, 'text/html').body;
  const open = new Set([...target.querySelectorAll('details[open]')].map((d) => d.className));
  const focused = target.contains(document.activeElement) ? document.activeElement : null;
  const again = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.href ? `a[href="${CSS.escape(focused.getAttribute('href'))}"]` : null);
  const place = [...focused?.closest('[role="group"]')?.children ?? []].indexOf(focused);
  target.replaceChildren(...fresh.childNodes);
  for (const details of target.querySelectorAll('details')) if (open.has(details.className)) details.open = true;
  // A button that has become another one, such as Pause, hands the focus to that.
  if (focused) ((again && target.querySelector(again)) ?? target.querySelector('[role="group"]')?.children[place])?.focus();
  showAges();
}

export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node && !key.startsWith('aria')) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Six digits, or all of a longer whole part; as the server writes it.
export function number(value) {
  if (value !== null && value !== undefined) {
    const size = Math.abs(Number(value));
    if (size >= 1e6 && size < 1e15) return Number(value).toFixed(0);
  }
  return short(value);
}

// Six digits, for where there is little room.
export function short(value) {
  if (value === null || value === undefined) return '–';
  const n = Number(value);
  if (!Number.isFinite(n)) return Number.isNaN(n) ? 'nan' : n > 0 ? 'inf' : '-inf';
  const text = n && Math.abs(n) < 1e-4 ? n.toExponential(5) : n.toPrecision(6);
  return text.includes('e') ? text.replace(/\.?0+e/, 'e') : text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

export function period(seconds) {
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)}s`;
  const whole = Math.floor(seconds);
  for (const [size, unit, small, smallUnit] of [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'm'], [60, 'm', 1, 's']]) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / small);
      return `${Math.floor(whole / size)}${unit}${rest ? ` ${rest}${smallUnit}` : ''}`;
    }
  }
  return `${whole}s`;
}

export function showAges() {
  for (const time of document.querySelectorAll('time[data-ago]')) {
    const text = period((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text && !selectedIn(time)) time.textContent = text;
  }
}
setInterval(showAges, 5000);
