/** Splits what stands in the request line. Absolute-form targets are read as their path. */
export function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const local = target.startsWith('/') ? target : pathOfAbsolute(target);
  const mark = local.indexOf('?');
  if (mark < 0) return { path: local, query: new URLSearchParams() };
  return { path: local.slice(0, mark), query: new URLSearchParams(local.slice(mark + 1)) };
}

function pathOfAbsolute(target: string): string {
  const url = URL.canParse(target) ? new URL(target) : undefined;
  return url ? url.pathname + url.search : '/';
}
