/** Replaces `$(NAME)` by what `lookUp` says; unknown names stay as they are, and `$$` is a dollar sign. */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  if (!text.includes('$')) return text;
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (found, name: string | undefined) => {
    if (found === '$$') return '$';
    return lookUp(name ?? '') ?? found;
  });
}
