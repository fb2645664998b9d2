import { formatEnvelope, preAuthEncoding, STATEMENT_TYPE, statementBytes, toHex } from '@writ/tlog'
import { type Attest, type Keys, sha256 } from '../audit/index.ts'
import { insertAttestation } from './store.ts'

/** Attests with the key in use, which a rotation may change from one call to the next. Signing does not leave the turn. */
export const createAttest =
  (keys: Pick<Keys, 'attestation'>): Attest =>
  async (tx, about, statement, at) => {
    const payload = statementBytes(statement)
    const sig = keys.attestation.sign(preAuthEncoding(STATEMENT_TYPE, payload))
    const digest = toHex(sha256(payload))
    await insertAttestation(tx, {
      digest,
      predicate_type: statement.predicateType,
      subject_type: about.type,
      subject_id: about.id,
      // Without a keyid: each family of tools computes its own, and skips a signature that names another (cosign among them).
      envelope: formatEnvelope({ payloadType: STATEMENT_TYPE, payload, signatures: [{ keyid: '', sig }] }),
      created_at: at,
    })
    return `sha256:${digest}`
  }
