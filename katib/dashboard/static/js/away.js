// The page of a manager that is away: loads what was asked for as soon as it is back.
import {getJson, repeat} from './page.js';

repeat(async () => {
  try {
    await getJson('/api/ping');
  } catch {
    return true;
  }
  location.reload();
  return false;
}, 2000);
