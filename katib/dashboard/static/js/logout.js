import {base, post} from './page.js';

document.getElementById('logout').addEventListener('click', async () => {
  await post('/api/logout');
  location.href = `${base}/login`;
});
