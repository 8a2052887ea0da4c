import { Service } from '#api/core/v1/service.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { concerns, forbidden, objectOf, oldOf } from '../request.ts';

/** Nobody draws traffic for somebody else's address to a service (CVE-2020-8554); what is there may stay. */
export const denyServiceExternalIPs: AdmissionPlugin = {
  name: 'DenyServiceExternalIPs',
  handles: request => concerns(request, Service, 'CREATE', 'UPDATE'),
  validate(request) {
    const wanted = objectOf(Service, request).spec?.externalIPs ?? [];
    const had = oldOf(Service, request)?.spec?.externalIPs ?? [];
    if (wanted.some(ip => !had.includes(ip)))
      throw forbidden(request, 'Use of external IPs is denied by admission control');
  },
};
