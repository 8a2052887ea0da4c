import { checkDnsSubdomain, checkQualifiedName } from '../../machinery/checks.ts';
import type { ApiObject } from '../../machinery/kind.ts';
import { byteLength } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { ObjectReference } from './object-reference.ts';

interface EventLike extends ApiObject {
  readonly action?: string | undefined;
  readonly eventTime?: string | null | undefined;
  readonly reason?: string | undefined;
  readonly reportingInstance?: string | undefined;
}

/** What differs between the two versions of events. */
interface EventParts {
  readonly involved: ObjectReference | undefined;
  readonly controller: string | undefined;
  readonly controllerField: string;
  readonly message: string | undefined;
}

/** Events without a time are of the old kind: only the namespaces must agree. */
export function validateEvent(event: EventLike, parts: EventParts, report: Report): void {
  const namespace = event.metadata.namespace ?? '';
  const involved = parts.involved?.namespace ?? '';
  const mismatch = () => report.at('involvedObject', 'namespace').invalid(involved, 'does not match event.namespace');
  if (!event.eventTime) {
    if (involved === '' ? namespace !== '' && namespace !== 'default' : namespace !== involved) mismatch();
  } else {
    if (involved === '' && namespace !== 'default' && namespace !== 'kube-system') mismatch();
    const controller = report.at(parts.controllerField);
    if (!parts.controller) controller.required();
    checkQualifiedName(parts.controller ?? '', controller);
    for (const name of ['reportingInstance', 'action', 'reason'] as const) {
      if (!event[name]) report.at(name).required();
      if (byteLength(event[name] ?? '') > 128) report.at(name).invalid('', 'can have at most 128 characters');
    }
    if (byteLength(parts.message ?? '') > 1024) report.at('message').invalid('', 'can have at most 1024 characters');
  }
  checkDnsSubdomain(namespace, report.at('namespace'));
}
