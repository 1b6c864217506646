// Buttons that do something: those with `data-act` post at once, or after a dialog named in `data-dialog`.
import {base, post} from './page.js';

const said = document.getElementById('said');

function say(text, bad) {
  said.textContent = text;
  said.className = bad ? 'said bad' : 'said';
  said.hidden = !text;
}

// `poll` looks at what is acted on; `then`, where to go when that is gone.
export function actions(path, poll) {
  const run = async (act, body, done, then) => {
    try {
      if (then) await poll.hold();
      await post(`${path}/${act}`, body);
      say('');
      await done?.();
      if (then) location.href = base + then;
      else await poll.now();
      return [];
    } catch (error) {
      if (then) poll.now();
      if (!error.problems?.length) say(error.message, true);
      return error.problems?.length ? error.problems : [{field: '', expected: error.message}];
    }
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-act], button[data-dialog]');
    if (!button) return;
    if (button.dataset.dialog) document.getElementById(button.dataset.dialog).showModal();
    else { button.disabled = true; run(button.dataset.act, {}).finally(() => { button.disabled = false; }); }
  });
  for (const dialog of document.querySelectorAll('dialog[data-does]')) {
    dialog.querySelector('.cancel').addEventListener('click', () => dialog.close());
    dialog.querySelector('form').addEventListener('submit', async (event) => {
      event.preventDefault();
      const form = event.target;
      const go = form.querySelector('[type="submit"]');
      const trouble = dialog.querySelector('.trouble');
      const body = {};
      for (const input of form.querySelectorAll('input[name]')) if (input.value !== input.defaultValue) body[input.name] = input.value;
      go.disabled = true;
      const problems = await run(dialog.dataset.does, body, () => {
        for (const input of form.querySelectorAll('input[name]')) input.defaultValue = input.value;
      }, dialog.dataset.then);
      go.disabled = false;
      trouble.textContent = problems.map((p) => `${p.field ? `${p.field}: ` : ''}${p.value ? `${p.value}: ` : ''}${p.expected}`).join('\n');
      if (!problems.length) dialog.close();
    });
  }
}
