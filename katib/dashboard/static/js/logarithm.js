// Boxes that put a drawing's values on a logarithmic scale, kept in the page's address like all that is chosen on it.
import {keepLogs, logsShown} from './address.js';

// Whether the box of this name is ticked; `changed` is called when that is another.
export function logBox(name, changed) {
  const box = document.querySelector(`input[data-log="${name}"]`);
  box.checked = logsShown().includes(name);
  box.addEventListener('change', () => {
    keepLogs([...document.querySelectorAll('input[data-log]')].filter((it) => it.checked).map((it) => it.dataset.log));
    changed();
  });
  return () => box.checked;
}

// What has no logarithm is not drawn, and the drawing says how much that is.
export const drawable = (value, log) => Number.isFinite(value) && (!log || value > 0);
