import { storageSuite } from '../suite.ts';
import { openMemoryStorage } from './memory-storage.ts';

storageSuite('memory', async () => openMemoryStorage());
