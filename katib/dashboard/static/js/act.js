// Buttons that do something: those with `data-act` post at once, or after a dialog named in `data-dialog`.
import {base, post} from './page.js';

const said = document.getElementById('said');

function say(text, bad) {
  said.textContent = text;
  said.className = bad ? 'said bad' : 'said';
  said.hidden = !text;
}

// Whether the button of a dialog now does what has a cost, and says so.
function ask(button, sure) {
  if (Boolean(button.dataset.sure) === sure) return;
  button.dataset.usual ??= button.textContent;
  button.textContent = sure ? 'Do it all the same' : button.dataset.usual;
  button.classList.toggle('danger', sure);
  button.classList.toggle('primary', !sure);
  button.dataset.sure = sure ? '1' : '';
}

// `poll` looks at what is acted on; `then`, where to go when that is gone.
export function actions(path, poll) {
  // Gives what was wrong; or `sure`, as what the server says it would cost has to be agreed to.
  const run = async (act, body, done, then) => {
    try {
      if (then) await poll.hold();
      const {cost} = await post(`${path}/${act}`, body);
      say('');
      if (cost) return [{field: '', expected: cost, sure: true}];
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
    // Not `disabled`, which takes the focus away from whoever works with the keyboard.
    else if (!button.hasAttribute('aria-disabled')) {
      button.setAttribute('aria-disabled', 'true');
      run(button.dataset.act, {}).finally(() => button.removeAttribute('aria-disabled'));
    }
  });
  for (const dialog of document.querySelectorAll('dialog[data-does]')) {
    dialog.querySelector('.cancel').addEventListener('click', () => dialog.close());
    // What is agreed to is what was shown.
    for (const input of dialog.querySelectorAll('input[name]')) input.addEventListener('input', () => ask(dialog.querySelector('[type="submit"]'), false));
    dialog.addEventListener('close', () => {
      ask(dialog.querySelector('[type="submit"]'), false);
      dialog.querySelector('.trouble').textContent = '';
      dialog.querySelector('form').reset();
    });
    dialog.querySelector('form').addEventListener('submit', async (event) => {
      event.preventDefault();
      const form = event.target;
      const go = form.querySelector('[type="submit"]');
      const trouble = dialog.querySelector('.trouble');
      const body = go.dataset.sure ? {sure: 'yes'} : {};
      for (const input of form.querySelectorAll('input[name]')) if (input.value !== input.defaultValue) body[input.name] = input.value;
      go.disabled = true;
      const problems = await run(dialog.dataset.does, body, () => {
        for (const input of form.querySelectorAll('input[name]')) input.defaultValue = input.value;
      }, dialog.dataset.then);
      go.disabled = false;
      ask(go, problems.some((p) => p.sure));
      trouble.textContent = problems.map((p) => `${p.field ? `${p.field}: ` : ''}${p.value ? `${p.value}: ` : ''}${p.expected}`).join('\n');
      if (!problems.length) dialog.close();
    });
  }
}
