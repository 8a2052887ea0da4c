import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { textResponse } from './text.ts';
import type { RawPath } from './subresource.ts';

/** One thing that must be well for the server to be alive or ready. Throws, or says false, when it is not. */
export interface HealthCheck {
  readonly name: string;
  readonly in: readonly ('healthz' | 'livez' | 'readyz')[];
  check(): Promise<boolean> | boolean;
}

/**
 * `/healthz`, `/livez`, `/readyz`, each with `?verbose`, `?exclude=` and a path for every check; `/metrics/slis` says how
 * they went when somebody asked for them last, and asks for those that nobody has.
 */
export function healthPaths(checks: readonly HealthCheck[]): readonly RawPath[] {
  const outcomes: Outcome[] = [];
  const unasked = new Set<() => Promise<boolean>>();
  const paths = (['healthz', 'livez', 'readyz'] as const).map(endpoint => {
    const own = checks.filter(each => each.in.includes(endpoint));
    const observed = own.map(check => {
      const { name } = check;
      const outcome: Outcome = { name, type: endpoint, well: 0, ill: 0, last: undefined };
      outcomes.push(outcome);
      const ask = async () => {
        unasked.delete(ask);
        return note(outcome, await isWell(check));
      };
      unasked.add(ask);
      return { name, in: check.in, check: ask };
    });
    return {
      path: `/${endpoint}`,
      prefix: true,
      handle: (request: ApiRequest) => answer(endpoint, observed, request.path, request.query),
    };
  });
  const handle = async () => {
    await Promise.all([...unasked].map(ask => ask()));
    return textResponse(200, indicators(outcomes));
  };
  return [...paths, { path: '/metrics/slis', handle }];
}

interface Outcome {
  readonly name: string;
  readonly type: string;
  well: number;
  ill: number;
  last: boolean | undefined;
}

function note(outcome: Outcome, well: boolean): boolean {
  if (well) outcome.well++;
  else outcome.ill++;
  outcome.last = well;
  return well;
}

/** In Prometheus' format, under upstream's names (KEP-3466). */
function indicators(outcomes: readonly Outcome[]): string {
  const last = outcomes.map(
    ({ name, type, last: well }) => `kubernetes_healthcheck{name="${name}",type="${type}"} ${well ? 1 : 0}\n`,
  );
  const counts = outcomes.flatMap(({ name, type, well, ill }) =>
    Object.entries({ success: well, error: ill })
      .filter(([, count]) => count > 0)
      .map(
        ([status, count]) =>
          `kubernetes_healthchecks_total{name="${name}",status="${status}",type="${type}"} ${count}\n`,
      ),
  );
  return [
    '# HELP kubernetes_healthcheck The result of a health check when it was last asked for.\n',
    '# TYPE kubernetes_healthcheck gauge\n',
    ...last,
    '# HELP kubernetes_healthchecks_total Health checks by their result.\n',
    '# TYPE kubernetes_healthchecks_total counter\n',
    ...counts,
  ].join('');
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
    return (await check.check())
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
    const well = await check.check();
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
