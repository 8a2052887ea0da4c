import { kubernetesVersion } from '#api/machinery/version.ts';
import type { RawPath } from './subresource.ts';
import { jsonResponse } from './text.ts';

const { major, minor, gitVersion } = kubernetesVersion;

const version = {
  major,
  minor,
  emulationMajor: major,
  emulationMinor: minor,
  minCompatibilityMajor: major,
  minCompatibilityMinor: String(Number(minor) - 1),
  gitVersion,
  gitCommit: 'windlass',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: process.version,
  compiler: 'v8',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

export const versionPath: RawPath = { path: '/version', prefix: true, handle: () => jsonResponse(200, version) };
