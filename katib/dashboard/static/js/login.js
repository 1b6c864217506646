// A token that is shown once: from then on the browser sends it in a cookie that no script can read.
import {base, post} from './page.js';

const form = document.getElementById('login');
const token = document.getElementById('token');
const verdict = document.getElementById('verdict');
const button = form.querySelector('button[type="submit"]');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  button.disabled = true;
  verdict.textContent = '';
  try {
    await post('/api/login', {token: token.value});
    // To the page that was asked for, in whose place this one came.
    if (location.pathname === `${base}/login`) location.href = `${base}/`;
    else location.reload();
  } catch (error) {
    verdict.textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    button.disabled = false;
    token.select();
  }
});
// Until here the browser itself would send the form, and the token would be gone from it.
button.disabled = false;
token.focus();
