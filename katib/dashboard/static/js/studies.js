// The list of studies: kept up to date, searched as one types, and a small line of what each study has found.
import {base, getJson, repeat, request, put} from './page.js';

const LIST_MS = 3000;
const list = document.getElementById('studies');
const form = document.querySelector('form.filters');
const lines = new Map();

const SVG = 'http://www.w3.org/2000/svg';

function draw(cell, values) {
  const finite = values.map(Number).filter(Number.isFinite);
  if (finite.length < 2) { cell.replaceChildren(); return; }
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const at = (value, i) => [(i / (finite.length - 1)) * 96 + 2, high > low ? 28 - ((value - low) / (high - low)) * 24 : 16];
  const path = document.createElementNS(SVG, 'path');
  let d = '';
  finite.forEach((value, i) => {
    const [x, y] = at(value, i);
    d += i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  path.setAttribute('d', d);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 32');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `Best so far over the trials, from ${finite[0]} to ${finite.at(-1)}`);
  const end = document.createElementNS(SVG, 'circle');
  const [x, y] = at(finite.at(-1), finite.length - 1);
  end.setAttribute('cx', x); end.setAttribute('cy', y); end.setAttribute('r', 2.4);
  svg.append(path, end);
  cell.replaceChildren(svg);
}

async function drawLines() {
  const rows = [...list.querySelectorAll('tr[data-key]')];
  const wanted = rows.filter((row) => lines.get(row.dataset.key)?.revision !== row.dataset.revision);
  if (wanted.length) {
    const keys = wanted.map((row) => row.dataset.key);
    const got = await getJson(`/api/sparklines?ids=${keys.join(',')}`);
    for (const row of wanted) {
      if (got[row.dataset.key]) lines.set(row.dataset.key, {revision: row.dataset.revision, values: got[row.dataset.key]});
    }
  }
  for (const row of list.querySelectorAll('tr[data-key]')) {
    const line = lines.get(row.dataset.key);
    if (line) draw(row.querySelector('.spark'), line.values);
  }
}

const poll = repeat(async () => {
  const asked = location.search;
  const response = await request(`/${asked || '?'}${asked.length > 1 ? '&' : ''}fragment=1`);
  const html = await response.text();
  if (asked === location.search) put(list, html);
  await drawLines();
}, LIST_MS);

let typing = 0;
function search() {
  const words = new URLSearchParams();
  for (const [name, word] of new FormData(form)) if (word) words.set(name, word);
  history.replaceState(null, '', `${base}/${words.size ? `?${words}` : ''}`);
  poll.now();
}
form.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(search, 250); });
form.addEventListener('submit', (event) => { event.preventDefault(); clearTimeout(typing); search(); });
