import type { ApiResponse } from '#client/transport.ts';
import { textResponse } from './text.ts';
import type { RawPath } from './subresource.ts';

/** One thing that must be well for the server to be alive or ready. Throws, or says false, when it is not. */
export interface HealthCheck {
  readonly name: string;
  readonly in: readonly ('healthz' | 'livez' | 'readyz')[];
  check(): Promise<boolean> | boolean;
}

/** `/healthz`, `/livez`, `/readyz`, each with `?verbose`, `?exclude=` and a path for every check. */
export function healthPaths(checks: readonly HealthCheck[]): readonly RawPath[] {
  return (['healthz', 'livez', 'readyz'] as const).map(endpoint => ({
    path: `/${endpoint}`,
    prefix: true,
    handle: request =>
      answer(
        endpoint,
        checks.filter(each => each.in.includes(endpoint)),
        request.path,
        request.query,
      ),
  }));
}

async function answer(
  endpoint: string,
  checks: readonly HealthCheck[],
  path: string,
  query: URLSearchParams,
): Promise<ApiResponse> {
  const wanted = path.slice(endpoint.length + 2);
  if (wanted !== '') {
    const check = checks.find(each => each.name === wanted);
    if (!check) return textResponse(404, '404 page not found\n');
    return (await isWell(check))
      ? textResponse(200, 'ok')
      : textResponse(500, `internal server error: ${check.name}: reason withheld\n`);
  }
  const excluded = new Set(query.getAll('exclude'));
  const lines: string[] = [];
  let failed = false;
  for (const check of checks) {
    if (excluded.delete(check.name)) {
      lines.push(`[+]${check.name} excluded: ok`);
      continue;
    }
    const well = await isWell(check);
    failed ||= !well;
    lines.push(well ? `[+]${check.name} ok` : `[-]${check.name} failed: reason withheld`);
  }
  if (excluded.size > 0)
    lines.push(
      `warn: some health checks cannot be excluded: no matches for ${[...excluded].map(each => JSON.stringify(each)).join(', ')}`,
    );
  if (failed) return textResponse(500, `${lines.join('\n')}\n${endpoint} check failed\n`);
  return textResponse(200, query.has('verbose') ? `${lines.join('\n')}\n${endpoint} check passed\n` : 'ok');
}

async function isWell(check: HealthCheck): Promise<boolean> {
  try {
    return await check.check();
  } catch {
    // A check that throws is a check that fails; the reason is withheld from clients.
    return false;
  }
}
