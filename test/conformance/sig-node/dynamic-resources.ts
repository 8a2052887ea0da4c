import { DeviceClass } from '#api/resource/v1/device-class.ts';
import { ResourceClaimTemplate } from '#api/resource/v1/resource-claim-template.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance } from '../conformance.ts';

const crud = '[sig-node] [DRA] CRUD Tests resource.k8s.io/v1';
const claim = { devices: { requests: [{ name: 'req-0', exactly: { deviceClassName: 'e2e.example.com' } }] } };

conformance(it => {
  it(`${crud} DeviceClass [Conformance]`, t =>
    apiOperations(t, {
      kind: DeviceClass,
      object: { spec: { selectors: [{ cel: { expression: 'device.driver == "e2e.example.com"' } }] } } as never,
    }));
  it(`${crud} ResourceClaim [Conformance]`, t =>
    apiOperations(t, { kind: ResourceClaim, object: { spec: claim } as never, status: {} }));
  it(`${crud} ResourceClaimTemplate [Conformance]`, t =>
    apiOperations(t, { kind: ResourceClaimTemplate, object: { spec: { spec: claim } } as never }));
  it(`${crud} ResourceSlice [Conformance]`, t =>
    apiOperations(t, {
      kind: ResourceSlice,
      object: {
        spec: {
          driver: 'e2e.example.com',
          nodeName: 'no-such-node',
          pool: { name: 'pool', generation: 1, resourceSliceCount: 1 },
          devices: [{ name: 'device-1' }],
        },
      } as never,
    }));
});
