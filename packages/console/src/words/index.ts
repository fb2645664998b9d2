import i18next from 'i18next'
import { initReactI18next } from 'react-i18next'
import { preferences } from '../app/page-settings.ts'
import { patient } from '../app/patient.ts'
import type { en } from './en.ts'
import type { enMore } from './en-more.ts'

export const languages = { en: 'English', 'zh-CN': '简体中文' } as const

declare module 'i18next' {
  interface CustomTypeOptions {
    resources: { translation: typeof en & typeof enMore }
    returnNull: false
  }
}

const load: Readonly<Record<string, () => Promise<object>>> = {
  en: async () => (await import('./en.ts')).en,
  'zh-CN': async () => (await import('./zh-cn.ts')).zhCn,
}
const loadMore: Readonly<Record<string, () => Promise<object>>> = {
  en: async () => (await import('./en-more.ts')).enMore,
  'zh-CN': async () => (await import('./zh-cn-more.ts')).zhCnMore,
}

// Languages that have all their words, and whether a page has asked for all.
const whole = new Set<string>()
let wantsMore = false

async function addMore(code: string): Promise<void> {
  if (whole.has(code)) return
  i18next.addResourceBundle(code, 'translation', await loadMore[code]?.(), true)
  whole.add(code)
}

/** Whatever is loaded here needs the words that the first look leaves out: `withWords(() => import('../pages/insight.tsx'))`. */
export async function withWords<T>(module: () => Promise<T>): Promise<T> {
  wantsMore = true
  const [loaded] = await Promise.all([patient(module), patient(() => addMore(i18next.language))])
  return loaded
}

/** Changes the language of the page, and remembers it in this browser. Words of the other one are not loaded. */
export async function speak(code: string, remember = true): Promise<void> {
  if (!i18next.hasResourceBundle(code, 'translation'))
    i18next.addResourceBundle(code, 'translation', await load[code]?.())
  if (wantsMore) await addMore(code)
  await i18next.changeLanguage(code)
  document.documentElement.lang = code
  if (remember) preferences.set('language', code)
}

/** The language of this browser: the one that was chosen, or the first of its own that we have. */
export async function openWords(): Promise<void> {
  await i18next
    .use(initReactI18next)
    .init({ resources: {}, lng: 'en', fallbackLng: false, interpolation: { escapeValue: false } })
  const wanted =
    [preferences.get('language'), ...navigator.languages].find((one) => one && /^(en|zh)/i.test(one)) ?? 'en'
  await speak(wanted.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en', false)
}
