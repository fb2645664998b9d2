/** Operations on a data directory and its database, for people at the server's own machine: no running server is asked. */
export { type ConfigReport, checkConfig } from './check-config.ts'
export { type MoveArtifacts, type MoveReport, moveArtifacts, type StoreType } from './move-artifacts.ts'
export { OperationRefused, type Place } from './place.ts'
export { type LogReport, type OfflineReport, type VerifyOffline, verifyOffline } from './verify-offline.ts'
