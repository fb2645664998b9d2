/** Secrets and personal data out of whatever Writ itself writes; see docs/privacy.md. */
export { configureRedaction, type Fields, liveSecrets, redactor } from './redactor.ts'
export { isRedacted, personalKinds, REDACTION_VERSION, type RedactionKind, redactionKinds } from './rules.ts'
export {
  createScanner,
  type Finding,
  mayGoOn,
} from './stream.ts'
