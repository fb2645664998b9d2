import { useTranslation } from 'react-i18next'
import { sayFound } from '../words/index.ts'
import { RunStateBadge } from './bits.tsx'
import { Icon } from './icons.tsx'

/** What one rule said about a file, or about all of them. */
interface Finding {
  readonly validator?: string
  /** Its place in the rule set. */
  readonly rule?: number
  readonly errors?: readonly string[]
  readonly warnings?: readonly string[]
}

/** The parts of a validation report that are shown; it is the judge's, and newer ones may hold more. */
export interface Report {
  readonly overall_result?: string
  readonly validation_results?: readonly {
    readonly artifact_id?: number
    readonly filename?: string
    readonly validation?: string
    readonly error?: string
    readonly findings?: readonly Finding[]
  }[]
  readonly set_results?: readonly Finding[]
  readonly errors?: readonly string[]
}

interface Said {
  readonly text: string
  readonly warns: boolean
  readonly by?: string | undefined
  readonly rule?: number | undefined
}

/** What was found in each file, and in all of them together. `toRule` leads to the rule that said it. */
export function Findings({ report, toRule }: { report: Report; toRule?: (rule: number) => void }) {
  const { t } = useTranslation()
  // What is said of the set stands at each of its files as well, in one sentence (`error`): it is told once, below.
  const ofAll = [...saidBy(report.set_results), ...(report.errors ?? []).map((text) => ({ text, warns: false }))]
  return (
    <table className="plain lined findings">
      <thead>
        <tr>
          <th>{t('run.file')}</th>
          <th>{t('run.verdict')}</th>
          <th className="half">{t('run.why')}</th>
        </tr>
      </thead>
      <tbody>
        {report.validation_results?.map(({ filename, validation, error, findings }, i) => {
          const said = saidBy(findings)
          // Where the bytes themselves were wrong no rule was asked.
          const rest =
            error !== undefined && ![...said, ...ofAll].some(({ text }) => error.includes(text)) ? error : null
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: files of a report are their places
            <tr key={i}>
              <td>{filename}</td>
              <td>
                <RunStateBadge state="completed" verdict={validation === 'passed' ? 'passed' : 'failed'} />
              </td>
              <td className="prose">
                <SaidList said={rest === null ? said : [...said, { text: rest, warns: false }]} toRule={toRule} />
              </td>
            </tr>
          )
        })}
        {ofAll.length > 0 && (
          <tr>
            <td>{t('rules.allFiles')}</td>
            <td>
              <RunStateBadge state="completed" verdict={ofAll.every(({ warns }) => warns) ? 'passed' : 'failed'} />
            </td>
            <td className="prose">
              <SaidList said={ofAll} toRule={toRule} />
            </td>
          </tr>
        )}
      </tbody>
    </table>
  )
}

/** What the evidence was found to be when it was judged again, beside what it was found to be before. */
export interface Comparison {
  readonly confirmed?: boolean
  readonly differences?: readonly { readonly message?: string }[]
}

/** In a sentence, and what differs. Other versions of libraries are told and change nothing. */
export function Compared({ with: comparison }: { with: Comparison | undefined }) {
  const { t } = useTranslation()
  if (!comparison) return <p className="dimmed small">{t('run.nothingToCompare')}</p>
  const { confirmed, differences = [] } = comparison
  return (
    <>
      <p className={`summary ${confirmed ? '' : 'summary-bad'}`}>{t(confirmed ? 'run.confirmed' : 'run.differs')}</p>
      {differences.length > 0 && (
        <ul className="compared">
          {differences.map(({ message = '' }, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: sentences are their places
            <li key={i}>
              <Sentence text={message} />
            </li>
          ))}
        </ul>
      )}
    </>
  )
}

const saidBy = (findings: readonly Finding[] | undefined): Said[] =>
  (findings ?? []).flatMap(({ validator, rule, errors = [], warnings = [] }) => [
    ...errors.map((text) => ({ text, warns: false, by: validator, rule })),
    ...warnings.map((text) => ({ text, warns: true, by: validator, rule })),
  ])

function SaidList({ said, toRule }: { said: readonly Said[]; toRule: ((rule: number) => void) | undefined }) {
  const { t } = useTranslation()
  return (
    <ul className="found">
      {said.map(({ text, warns, by, rule }, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: sentences are their places
        <li key={i} className={warns ? 'found-warning' : 'found-error'}>
          <Icon name={warns ? 'warning' : 'cross'} size={13} />
          <span>
            <span className="unseen">{t(warns ? 'rules.warning' : 'rules.error')} </span>
            <Sentence text={text} />{' '}
            {by !== undefined &&
              (toRule && rule !== undefined ? (
                <button type="button" className="link small" onClick={() => toRule(rule)}>
                  {t('rules.rule', { number: rule + 1 })} · {by}
                </button>
              ) : (
                <span className="dimmed small">{by}</span>
              ))}
          </span>
        </li>
      ))}
    </ul>
  )
}

/** Where it is said in another language, what was recorded shows on hovering: that is the evidence. */
function Sentence({ text }: { text: string }) {
  const said = sayFound(text)
  return said === text ? text : <span title={text}>{said}</span>
}
