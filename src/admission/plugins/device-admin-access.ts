import { errors } from '#api/machinery/errors.ts';
import { Report } from '#api/machinery/validation.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { AdmissionPlugin } from '../admission.ts';
import type { AdmissionRequest } from '../admission.ts';
import { find, type Sources } from '../sources.ts';

const label = 'resource.kubernetes.io/admin-access';
const kinds = ['ResourceClaim', 'ResourceClaimTemplate'];

interface Request {
  /** In v1beta1. */
  readonly adminAccess?: boolean;
  readonly exactly?: { readonly adminAccess?: boolean };
}

/**
 * Devices that others use are looked at from namespaces of administrators alone. In upstream it is part of the storage of
 * claims: nobody can turn it off. KEP-5018.
 */
export function deviceAdminAccess(sources: Sources): AdmissionPlugin {
  const namespaces = sources.informers.of(Namespace);
  return {
    name: 'DeviceAdminAccess',
    handles: ({ operation, kind, subresource }) =>
      kind.group === 'resource.k8s.io' &&
      kinds.includes(kind.kind) &&
      (operation === 'CREATE' || (operation === 'UPDATE' && subresource === 'status')),
    async validate(request) {
      const report = new Report();
      if (request.subresource === 'status') checkResults(request, report);
      else checkRequests(request, report);
      if (report.errors.length === 0) return;
      const namespace = await find(sources, namespaces, request.namespace);
      if (namespace?.metadata.labels?.[label] === 'true') return;
      const { group, kind } = request.kind;
      throw errors.invalid(group, kind, request.object?.metadata.name ?? '', report.errors);
    },
  };
}

const refusal = `admin access to devices requires the \`${label}: true\` label on the containing namespace`;

function checkRequests({ object, kind }: AdmissionRequest, report: Report): void {
  const isTemplate = kind.kind === 'ResourceClaimTemplate';
  const spec = (object as { readonly spec?: { readonly spec?: unknown } } | undefined)?.spec;
  const claim = (isTemplate ? spec?.spec : spec) as { readonly devices?: { readonly requests?: readonly Request[] } };
  const first = (claim?.devices?.requests ?? []).findIndex(
    ({ adminAccess, exactly }) => exactly?.adminAccess === true || adminAccess === true,
  );
  // Upstream names the same path for all versions, and for templates.
  if (first >= 0) report.at('spec', 'devices', 'requests').index(first).at('adminAccess').forbidden(refusal);
}

function checkResults({ object, old }: AdmissionRequest, report: Report): void {
  const resultsOf = (claim: unknown) =>
    (
      claim as {
        readonly status?: { readonly allocation?: { readonly devices?: { readonly results?: readonly Request[] } } };
      }
    )?.status?.allocation?.devices?.results ?? [];
  // What was allocated once stays; only a new allocation is judged.
  if (resultsOf(old).length > 0) return;
  for (const [index, { adminAccess }] of resultsOf(object).entries())
    if (adminAccess === true)
      report.at('status', 'allocation', 'devices', 'results').index(index).at('adminAccess').forbidden(refusal);
}
