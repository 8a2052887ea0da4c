import type { AdmissionPlugin } from '../admission.ts';
import { forbidden } from '../request.ts';

/** Nothing changes any longer: for tests of clients. Deprecated upstream. */
export const alwaysDeny: AdmissionPlugin = {
  name: 'AlwaysDeny',
  handles: () => true,
  validate(request) {
    throw forbidden(request, 'admission control is denying all modifications');
  },
};
