/** Resolves when the condition holds; rejects with what it was waiting for when it does not in time. */
export async function until<Value>(
  what: string,
  condition: () => Value | undefined | false,
  withinMs = 10_000,
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    await new Promise(resolve => setImmediate(resolve));
  }
  throw new Error(`it did not come to pass: ${what}`);
}
