import type { Credentials } from './authenticator.ts';

/** All values of a header; Node reads their bytes one by one, while everybody means UTF-8. */
export function headerTexts(headers: Credentials['headers'], name: string): string[] {
  return [headers[name] ?? []].flat().map(decoded);
}

function decoded(value: string): string {
  if (!/[\u0080-\u00ff]/.test(value) || /[^\u0000-\u00ff]/.test(value)) return value;
  const text = Buffer.from(value, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? value : text;
}
