// A study file as one writes it: checked while one types, each problem at its line; then created.
import {base, element, post} from './page.js';

const form = document.getElementById('create');
const area = document.getElementById('study-file');
const gutter = document.getElementById('gutter');
const verdict = document.getElementById('verdict');
const list = document.getElementById('problems');
const button = form.querySelector('button[type="submit"]');

function lines(bad = new Set()) {
  const count = area.value.split('\n').length;
  gutter.replaceChildren(...Array.from({length: count}, (_, i) => element('div', {textContent: i + 1, className: bad.has(i + 1) ? 'bad' : ''})));
  gutter.scrollTop = area.scrollTop;
}

function goTo(line) {
  const rows = area.value.split('\n');
  const start = rows.slice(0, line - 1).reduce((sum, row) => sum + row.length + 1, 0);
  area.focus();
  area.setSelectionRange(start, start + rows[line - 1].length);
  area.scrollTop = Math.max((line - 6) * parseFloat(getComputedStyle(area).lineHeight), 0);
}

function sentence({field, value, expected}) {
  return `${field ? `${field}: ` : ''}${value ? `${value}: ` : ''}${expected}`;
}

function show(problems, warnings = []) {
  lines(new Set(problems.map((problem) => problem.line)));
  area.setAttribute('aria-invalid', String(problems.length > 0));
  const item = (problem, kind) => {
    const text = `${kind}${problem.line ? `Line ${problem.line}: ` : ''}${sentence(problem)}`;
    if (!problem.line) return element('li', {className: kind ? 'warning' : '', textContent: text});
    const jump = element('button', {type: 'button', textContent: text});
    jump.addEventListener('click', () => goTo(problem.line));
    return element('li', {className: kind ? 'warning' : ''}, jump);
  };
  list.replaceChildren(...problems.map((p) => item(p, '')), ...warnings.map((p) => item(p, 'Warning. ')));
  verdict.textContent = problems.length === 1 ? 'One thing is to be changed:' : problems.length ? `${problems.length} things are to be changed:`
    : 'The file is well formed.';
  verdict.className = problems.length ? 'verdict bad' : 'verdict good';
}

async function check() {
  const file = area.value;
  try {
    const answer = await post('/api/studies/check', {file});
    if (file === area.value) show(answer.problems, answer.warnings);
  } catch (error) {
    verdict.textContent = error.message;
    verdict.className = 'verdict bad';
  }
}

let typing = 0;
// Sent twice, a file creates one study; another file is another study.
const anew = () => { form.dataset.request = `page-${[...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(16)).join('')}`; };
area.addEventListener('input', () => { anew(); lines(); clearTimeout(typing); typing = setTimeout(check, 400); });
area.addEventListener('scroll', () => { gutter.scrollTop = area.scrollTop; });
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  clearTimeout(typing);
  button.disabled = true;
  try {
    const {id} = await post('/api/studies', {file: area.value, request_id: form.dataset.request});
    location.href = `${base}/studies/${id}`;
  } catch (error) {
    if (error.problems.length) show(error.problems);
    else { list.replaceChildren(); verdict.textContent = `It was not created: ${error.message}`; verdict.className = 'verdict bad'; }
    button.disabled = false;
  }
});
// Until here the browser itself would send the form, and what was typed would be gone.
button.disabled = false;
lines();
check();
