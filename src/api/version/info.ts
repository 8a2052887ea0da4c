import { object, string, type TypeOf } from '../machinery/schema.ts';

export const Info = object('io.k8s.apimachinery.pkg.version.Info', {
  buildDate: string(0, { required: true }),
  compiler: string(0, { required: true }),
  emulationMajor: string(0),
  emulationMinor: string(0),
  gitCommit: string(0, { required: true }),
  gitTreeState: string(0, { required: true }),
  gitVersion: string(0, { required: true }),
  goVersion: string(0, { required: true }),
  major: string(0, { required: true }),
  minCompatibilityMajor: string(0),
  minCompatibilityMinor: string(0),
  minor: string(0, { required: true }),
  platform: string(0, { required: true }),
});
export type Info = TypeOf<typeof Info>;
