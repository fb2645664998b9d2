/** Operations on a data directory and its database, for people at the server's own machine: no running server is asked. */
export { type BackedUp, type Backup, backup } from './backup.ts'
export { type Manifest, verifyBackup } from './backup-manifest.ts'
export { type ConfigReport, checkConfig } from './check-config.ts'
export { type Diagnosis, doctor, type Finding } from './doctor.ts'
export { OperationRefused, type Place } from './place.ts'
export { type Restore, type Restored, restore } from './restore.ts'
export { initSample, type Sample } from './sample.ts'
export { type LogReport, type OfflineReport, type VerifyOffline, verifyOffline } from './verify-offline.ts'
