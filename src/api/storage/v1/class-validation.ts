import { checkQualifiedName } from '../../machinery/checks.ts';
import { byteLength } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';

const parametersBytesMax = 256 * 1024;

/** Classes that claims without a class get. */
export function isDefaultClass({ annotations }: ObjectMeta): boolean {
  return ['storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class'].some(
    name => annotations?.[name] === 'true',
  );
}

export function validateProvisioner(provisioner: string, report: Report): void {
  if (provisioner === '') report.required();
  else checkQualifiedName(provisioner.toLowerCase(), report);
}

export function validateParameters(
  parameters: Readonly<Record<string, string>>,
  mayBeEmpty: boolean,
  report: Report,
): void {
  const entries = Object.entries(parameters);
  if (entries.length > 512) {
    report.tooLong(512);
    return;
  }
  let size = 0;
  for (const [key, value] of entries) {
    if (key === '') report.invalid(key, 'field can not be empty.');
    size += byteLength(key) + byteLength(value);
  }
  if (size > parametersBytesMax) report.tooLong(parametersBytesMax);
  if (!mayBeEmpty && entries.length === 0) report.required('must contain at least one key/value pair');
}
