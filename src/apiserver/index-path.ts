import { apiVersionOf } from '#api/machinery/kind.ts';
import type { Registry } from './registry.ts';
import type { RawPath } from './subresource.ts';
import { jsonResponse } from './text.ts';

/** `/` lists what the server answers: the groups and versions there are just now, and the other paths. */
export function indexPath(registry: Registry, others: readonly RawPath[]): RawPath {
  return {
    path: '/',
    handle() {
      const paths = new Set(others.map(({ path }) => path));
      for (const kind of registry.kinds) {
        if (kind.group !== '') paths.add(`/apis/${kind.group}`);
        paths.add(kind.group === '' ? `/api/${kind.version}` : `/apis/${apiVersionOf(kind)}`);
      }
      return jsonResponse(200, { paths: [...paths].sort() });
    },
  };
}
