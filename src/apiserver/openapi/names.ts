import type { Kind } from '#api/machinery/kind.ts';

/** The definition's name: `io.k8s.api.apps.v1.Deployment`, or for custom kinds `com.example.v1.CronTab`. */
export function definitionNameOf(kind: Kind): string {
  if (kind.schema.name !== '') return kind.schema.name;
  return [...kind.group.split('.').toReversed(), kind.version, kind.kind].join('.');
}
