import { Button, Checkbox, FileButton, Progress, Textarea, TextInput } from '@mantine/core'
import type { BundleCheck, BundleReport, BundleTrust } from '@writ/tlog'
import { useEffect, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { bytes, count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import type { VerifyStep } from '../proof/verify-file.ts'
import { sayFound } from '../words/index.ts'
import { useAction } from './ask.tsx'
import { Mono } from './bits.tsx'
import { checkText, reasonText } from './bundle-words.ts'
import { Icon } from './icons.tsx'
import { plainText, spellOut } from './plain-text.ts'
import { saveAs } from './preview.tsx'
import { Refusal } from './states.tsx'

/** What a reader typed of what they have from elsewhere. */
interface Known {
  readonly fingerprint: string
  readonly vkeys: string
  readonly policy: string
}
const NOTHING: Known = { fingerprint: '', vkeys: '', policy: '' }

/** Throws what the policy is refused for. */
async function trustOf(known: Known): Promise<BundleTrust> {
  const [{ parsePolicy }, { primitives }] = await Promise.all([import('@writ/tlog'), import('../proof/primitives.ts')])
  const fingerprint = known.fingerprint.trim()
  const vkeys = known.vkeys.split(/\s+/).filter((vkey) => vkey !== '')
  return {
    ...(fingerprint === '' ? {} : { fingerprint }),
    ...(vkeys.length === 0 ? {} : { vkeys }),
    ...(known.policy.trim() === '' ? {} : { policy: parsePolicy(known.policy, primitives.sha256) }),
  }
}

/** A verification that goes on in a thread of its own: how far it came, and how it is ended. */
function useVerification() {
  const [report, setReport] = useState<BundleReport | null>(null)
  const [step, setStep] = useState<VerifyStep | null>(null)
  const [ended, setEnded] = useState(false)
  const going = useRef<AbortController>(null)
  // Whoever leaves the page waits for nothing of it any more.
  useEffect(() => () => going.current?.abort(), [])
  const clear = () => {
    going.current?.abort()
    setReport(null)
    setEnded(false)
  }
  const verify = async (zip: Blob, name: string, trust: BundleTrust = {}) => {
    clear()
    const mine = new AbortController()
    going.current = mine
    setStep({ step: 'files', done: 0, total: 0 })
    try {
      const { verifyFile } = await import('../proof/verify-file.ts')
      const found = await verifyFile(zip, name, trust, { onStep: setStep, signal: mine.signal })
      // What was forgotten meanwhile is not shown.
      if (!mine.signal.aborted) setReport(found)
    } catch (error) {
      if (!mine.signal.aborted) throw error
    } finally {
      if (going.current === mine) setStep(null)
    }
  }
  const cancel = () => {
    going.current?.abort()
    setEnded(true)
  }
  return { report, step, ended, verify, clear, cancel }
}

/** How far it came, with the way to end it; then what was found, or that it was ended. */
function Verification({ of: { report, step, ended, cancel } }: { of: ReturnType<typeof useVerification> }) {
  const { t, i18n } = useTranslation()
  const number = (value: number) => count(value, i18n.language)
  if (step) {
    const { done, total, bytes: read } = step
    // One file may be most of the archive, so what was read tells more than how many there were.
    const share = read ? read.done / read.total : total === 0 ? 0 : done / total
    return (
      <div className="form-buttons">
        <span className="small dimmed" role="status">
          {total === 0
            ? t('bundle.opening')
            : t(`bundle.going_${step.step}`, { done: number(done), total: number(total) })}
          {read &&
            t('error.inside', { what: t('bundle.going_read', { done: bytes(read.done), total: bytes(read.total) }) })}
        </span>
        <Progress value={100 * share} size="sm" w={160} aria-label={t('bundle.verifying')} />
        <Button variant="default" size="xs" onClick={cancel}>
          {t('bundle.cancel')}
        </Button>
      </div>
    )
  }
  if (report) return <Report report={report} />
  return ended ? (
    <p className="small" role="status">
      {t('bundle.ended')}
    </p>
  ) : null
}

/**
 * The bundle of a ticket or run: fetched, verified in this page, and handed over to be verified anywhere else. A task, which is a run too,
 * has no files that could hold secrets.
 */
export function Bundle({
  subject,
  number,
  hasFiles = true,
}: {
  subject: 'ticket' | 'run'
  number: number
  hasFiles?: boolean
}) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [zip, setZip] = useState<{ data: Uint8Array<ArrayBuffer>; name: string } | null>(null)
  const verification = useVerification()
  const [flagged, setFlagged] = useState(false)
  const [whole, setWhole] = useState(false)
  const action = useAction()
  if (!can('evidence.export')) return <p className="dimmed small">{t('bundle.denied')}</p>
  const fetchIt = () =>
    action.run(async () => {
      setZip(null)
      verification.clear()
      const answer = await client.evidence.export({
        body: {
          subject,
          id: number,
          ...(flagged ? { include_flagged: true } : {}),
          ...(whole ? { whole_log: true } : {}),
        },
      })
      const data = new Uint8Array(
        await new Response(answer.stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
      )
      const name = answer.name ?? `evidence-${subject}-${number}.zip`
      setZip({ data, name })
      await verification.verify(new Blob([data]), name)
    })
  return (
    <div className="bundle">
      <p className="small dimmed">{t('bundle.text')}</p>
      {hasFiles && (
        <Checkbox
          size="xs"
          label={t('bundle.flagged')}
          checked={flagged}
          onChange={(event) => setFlagged(event.currentTarget.checked)}
          mb="xs"
        />
      )}
      <Checkbox
        size="xs"
        label={t('bundle.whole')}
        checked={whole}
        onChange={(event) => setWhole(event.currentTarget.checked)}
        mb="xs"
      />
      <div className="form-buttons">
        <Button onClick={() => void fetchIt()} loading={action.busy} leftSection={<Icon name="audit" size={14} />}>
          {t('bundle.make')}
        </Button>
        {zip && (
          <Button
            variant="default"
            leftSection={<Icon name="download" size={14} />}
            onClick={() => saveAs(zip.data, zip.name, 'application/zip')}
          >
            {t('bundle.save', { size: bytes(zip.data.length) })}
          </Button>
        )}
      </div>
      <Refusal error={action.error} />
      <Verification of={verification} />
    </div>
  )
}

/** A bundle from anywhere, verified here. */
export function VerifyFile() {
  const { t } = useTranslation()
  const verification = useVerification()
  const [name, setName] = useState('')
  const [known, setKnown] = useState(NOTHING)
  const [badPolicy, setBadPolicy] = useState('')
  const [isOpen, setOpen] = useState(false)
  const action = useAction()
  // Chosen again, the same file is no change to a browser that still has it.
  const forget = useRef<() => void>(null)
  const know = (more: Partial<Known>) => {
    setKnown({ ...known, ...more })
    // What is shown was verified against something else.
    verification.clear()
    setName('')
    setBadPolicy('')
  }
  const take = (file: File | null) => {
    if (!file) return
    forget.current?.()
    verification.clear()
    setName(file.name)
    void action.run(async () => {
      const trust = await trustOf(known).catch((error: Error) => {
        setBadPolicy(error.message)
        setOpen(true)
      })
      if (trust) await verification.verify(file, file.name, trust)
    })
  }
  return (
    <div className="bundle">
      <p className="small dimmed">{t('bundle.anyText')}</p>
      <details className="options" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t('bundle.known')}</summary>
        <p className="small dimmed">{t('bundle.knownText')}</p>
        <div className="fields">
          <TextInput
            label={t('bundle.fingerprint')}
            placeholder="SHA256:…"
            classNames={{ input: 'mono-text' }}
            value={known.fingerprint}
            onChange={(event) => know({ fingerprint: event.currentTarget.value })}
          />
          <TextInput
            label={t('bundle.vkeys')}
            classNames={{ input: 'mono-text' }}
            value={known.vkeys}
            onChange={(event) => know({ vkeys: event.currentTarget.value })}
          />
          <Textarea
            label={t('bundle.policy')}
            description={t('bundle.policyText')}
            placeholder={'witness mine …\nquorum mine'}
            value={known.policy}
            onChange={(event) => know({ policy: event.currentTarget.value })}
            error={badPolicy !== '' && t('bundle.badPolicy', { reason: sayFound(badPolicy) })}
            autosize
            minRows={3}
            classNames={{ input: 'mono-text' }}
          />
        </div>
      </details>
      <FileButton onChange={take} accept=".zip,application/zip" resetRef={forget}>
        {(props) => (
          <Button {...props} variant="default" loading={action.busy} leftSection={<Icon name="upload" size={14} />}>
            {t('bundle.any')}
          </Button>
        )}
      </FileButton>
      {name !== '' && <span className="small dimmed"> {plainText(name)}</span>}
      <Refusal error={action.error} />
      <Verification of={verification} />
    </div>
  )
}

function Report({ report }: { report: BundleReport }) {
  const { t } = useTranslation()
  return (
    <div className="report" role="status">
      <p className={report.ok ? 'verdict verdict-good' : 'verdict verdict-bad'}>
        <Icon name={report.ok ? 'check' : 'cross'} size={18} />
        {report.ok
          ? t('bundle.good')
          : report.fault &&
            t('bundle.bad', {
              path: report.fault.why === 'archive' ? plainText(report.fault.path) : spellOut(report.fault.path),
              reason: reasonText(t, report.fault),
            })}
      </p>
      <Checks checks={report.checks} />
      <h3>{t('proof.rests')}</h3>
      <ul className="plain-list small">
        {report.rests.map(({ what, code, of, value, expected }) => (
          <li key={what + value}>
            <span className="dimmed">{t(`bundleRest.${code}`, { of: spellOut(of ?? '') })}</span>{' '}
            <Mono value={spellOut(value)} keep={12} />
            {expected && (
              <span className="small">
                {' '}
                <Icon name="check" size={12} /> {t('bundle.expected')}
              </span>
            )}
          </li>
        ))}
      </ul>
    </div>
  )
}

function Checks({ checks }: { checks: readonly BundleCheck[] }) {
  const { t } = useTranslation()
  return (
    <ul className="checks">
      {checks.map((check) => (
        <li key={check.what} className={`check check-${check.state === 'verified' ? 'good' : 'unchecked'}`}>
          <Icon name={check.state === 'verified' ? 'check' : 'dots'} size={14} className="icon-bold" />
          <span>
            {checkText(t, check)}
            {check.parts && check.parts.length > 0 && <Checks checks={check.parts} />}
          </span>
        </li>
      ))}
    </ul>
  )
}
