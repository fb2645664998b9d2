/** Secrets and personal data out of whatever Writ itself writes; see docs/privacy.md. */
export { configureRedaction, createRedactor, type Fields, liveSecrets, type Redactor, redactor } from './redactor.ts'
export { isRedacted, personalKinds, REDACTION_VERSION, type RedactionKind, redactionKinds } from './rules.ts'
export {
  createScanner,
  type Finding,
  mayGoOn,
  type Scanner,
} from './stream.ts'
