/** metav1.Time: RFC 3339 in whole seconds. */
export function timeText(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** metav1.MicroTime. */
export function microTimeText(atMs: number): string {
  return new Date(atMs).toISOString().replace('Z', '000Z');
}

/** Milliseconds since the epoch; 0 for a time that is not there. */
export function timeMs(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const parsed = Date.parse(text);
  return Number.isNaN(parsed) ? 0 : parsed;
}
