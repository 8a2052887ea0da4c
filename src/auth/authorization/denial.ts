import { errors, type ApiError } from '#api/machinery/errors.ts';
import type { Attributes } from './authorizer.ts';

/** The 403 for a request that nobody allowed. */
export function denied(asked: Attributes, reason: string): ApiError {
  if (!asked.resourceRequest)
    return errors.forbiddenPath(
      escaped(
        `User ${JSON.stringify(asked.user.name)} cannot ${asked.verb} path ${JSON.stringify(asked.path)}${behind(reason)}`,
      ),
    );
  const resource = asked.subresource === '' ? asked.resource : `${asked.resource}/${asked.subresource}`;
  const scope = asked.namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(asked.namespace)}`;
  const what = `User ${JSON.stringify(asked.user.name)} cannot ${asked.verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(asked.group)} ${scope}${behind(reason)}`;
  return errors.forbidden({ group: asked.group, plural: asked.resource }, asked.name, escaped(what));
}

function behind(reason: string): string {
  return reason === '' ? '' : `: ${reason}`;
}

/** Upstream escapes these, since browsers may show the message. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
