"""Words that the judgement of two questions knows: what carries no content, what means the same, what excludes what."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from agentplatform.llm.caching.stems import stem, words_of

FILLERS = words_of(
    "please kindly hi hello hey hiya morning evening afternoon dear team thanks thank cheers many um uh er erm well ok okay "
    "so just really actually basically quick silly question sorry excuse wondering wonder tell know let there anyway "
    "maybe perhaps like guys advance help explain would could simply currently exactly possible possibly able"
)
"""What may stand in one of two questions and not in the other without a difference."""

FUNCTION_WORDS = words_of(
    "a an the this that these those i me my mine myself we us our you your he him his she her it its they them their "
    "am is are was were be been being do does did done doing have has had having can will shall may might must should "
    "ought of in on at to for from by with into onto about as if or and but than then too also there here where when why "
    "how what which who whom whose any some one such while during within between through per via upon towards toward "
    "get got getting gets need needs needed want wants wanted make makes making made take takes took go goes going give "
    "gives given way ways thing things something anything step steps process happen happens it's im ive "
    "id not no nor never s t re ve ll d m up out off down over under before after each own same very much more most "
    "because since until till just still yet already even every all both only ever again once"
)
QUESTION_WORDS = words_of("why how where when who whom whose what which")

LIGHT_WORDS = words_of(
    "way process procedure step amount value number status usual usually typical typically normally available best good "
    "right proper properly correct correctly easiest simplest please info information details regarding concerning policy "
    "own current currently new exact kind type sort someone person people thing allowed possible option options method "
    "start begin use using find see show say mean meaning call name still keep seem appear try trying tried issue problem"
)
"""Content, but little of it."""

NEGATIONS = words_of(
    "not no non never without none nobody nothing neither nor cannot nowhere unable avoid except excluding fail fails failed "
    "failing refuse refused lack lacking hardly stop prevent nicht kein keine ohne nie pas jamais sans sin nunca"
)
NEGATIVE_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "de", "mis", "anti", "ab")

PHRASES: Mapping[str, str] = {
    "turn on": "enable", "switch on": "enable", "turn off": "disable", "switch off": "disable", "turned on": "enable",
    "turned off": "disable", "log in": "login", "sign in": "login", "logging in": "login", "log on": "login",
    "log out": "logout", "sign out": "logout", "log off": "logout", "sign up": "register", "sign on": "signon",
    "set up": "setup", "cash point": "atm", "cash machine": "atm", "check in": "checkin", "check out": "checkout",
    "top up": "topup", "topping up": "topup", "topped up": "topup", "top ups": "topup", "find out": "find",
    "look for": "find", "get rid of": "remove", "pick up": "collect", "call off": "cancel", "send back": "return",
    "give back": "return", "fill in": "complete", "fill out": "complete", "carry on": "carryon", "how come": "why",
    "what for": "why", "as well": "also", "right now": "now", "at the moment": "now", "at present": "now",
    "money back": "refund", "united kingdom": "uk", "united states": "usa", "u s": "usa", "u k": "uk", "e mail": "email",
    "web site": "website", "wi fi": "wifi", "mobile phone": "phone", "cell phone": "phone", "two factor": "2fa",
    "2 factor": "2fa", "two step": "2fa", "a lot of": "many", "lots of": "many", "as soon as possible": "asap",
    "part time": "parttime", "full time": "fulltime", "self employed": "selfemployed", "no longer": "not",
    "more than": "over", "greater than": "over", "less than": "under", "fewer than": "under", "at least": "minimum",
    "at most": "maximum", "up to": "maximum", "no more than": "maximum", "not any": "no", "or not": "",
    "instead of": "insteadof", "rather than": "insteadof", "in front of": "before", "prior to": "before",
    "ahead of": "before", "in store": "instore", "step by step": "", "in order to": "to", "per cent": "percent",
    "per annum": "yearly", "a year": "yearly", "per year": "yearly", "each year": "yearly", "every year": "yearly",
    "a month": "monthly", "per month": "monthly", "each month": "monthly", "every month": "monthly",
    "a week": "weekly", "per week": "weekly", "every week": "weekly", "a day": "daily", "per day": "daily",
    "every day": "daily", "each day": "daily", "an hour": "hourly", "per hour": "hourly", "next to": "beside",
    "do i have to": "must", "am i allowed to": "can", "is it possible to": "can", "be able to": "can", "have you got": "do you have",
}  # fmt: skip
"""Several words that are read as one. Longer phrases are tried first."""

_SYNONYMS = """
child kid children kids|infant baby|parent parents|mother mum mom|father dad|car automobile motor|bike bicycle
street road|shop store|parcel package|luggage baggage|autumn fall|holiday vacation|lift elevator|flat apartment
mobile cellphone smartphone phone telephone|tv television|film movie|film films|picture photo photograph image
buy purchase|sell vend|begin start commence|end finish|big large|bigger larger|biggest largest|small little
smaller littler|fast quick rapid|faster quicker|fastest quickest|cheap inexpensive|cheapest lowest-cost|expensive costly
cost price fee charge pricing|wage salary pay|doctor gp physician|medicine medication drug|jab vaccine vaccination injection shot
sick ill unwell|illness disease sickness|symptom sign|stomach belly tummy|remove delete erase|cancel terminate revoke
change modify alter update edit amend|repair fix mend|broken faulty defective damaged|error bug fault|buy order
send submit|receive get obtain acquire|get obtain|request ask|reply respond answer|assist help|need require
allow permit|permitted allowed|forbid prohibit ban|forbidden prohibited banned|choose select pick|show display
build construct|create make generate|increase raise|decrease reduce lower|reset restore|verify confirm validate
check verify|download install|register enrol enroll signup|membership subscription|subscribe join|close shut
warranty guarantee|refund reimbursement reimburse|reservation booking|reserve book|appointment booking|meeting appointment
bill invoice|receipt proof-of-purchase|delivery shipping shipment|deliver ship|dispatch ship|arrive come
late delayed|delay lateness|lost missing|stolen nicked|password passcode|username login-name|email mail|site website
webpage page|photo pic|app application|repo repository|job position role|employee worker staff|employer company
boss manager|company firm business|lawyer attorney solicitor|law legislation|legal lawful|illegal unlawful
leave holiday pto|allowance entitlement|quote quotation estimate|dispute challenge contest|transaction payment
transfer move|money funds cash|cashpoint atm|balance funds|credit-score credit-rating|loan lend borrow|mortgage home-loan
tax taxes|annual yearly|monthly month|weekly week|daily day|hourly hour|wait waiting|quit resign|difference distinction
different differ|similar alike|important essential crucial|benefit advantage|drawback disadvantage downside|pros advantages
cons disadvantages|weight mass|study learn|teach instruct|teacher instructor|university college uni|student pupil
exam test examination|homework assignment|movie film|song track|music songs|author writer|write author|ceo boss
travel trip journey|fly flight|plane airplane aircraft aeroplane|airport airfield|hotel inn|restaurant eatery|meal dish
dinner supper|breakfast brekkie|recipe recipe|cook prepare|calorie calories|nutrition nutritional|exercise workout
run jog|gym fitness|lose shed|happy glad|sad unhappy|rich wealthy|famous well-known|smart intelligent clever
stupid dumb|beautiful pretty|ugly unattractive|fear afraid scared|speak talk|improve enhance better|quickly fast
avoid prevent|stop cease|keep retain|hide conceal|find locate|search look|see view|watch view|hear listen
hour hours hr hrs|minute minutes min mins|second seconds sec secs|pound pounds lb lbs quid|dollar dollars buck bucks
kilogram kilo kg|computer pc|laptop notebook|connect link|unlink disconnect|internet web|wifi wireless|broadband internet
update upgrade|plan tier|feature functionality|setting settings configuration|configure setup|turnoff disable|turnon enable
2fa two-factor-authentication|certificate cert|document paperwork|documents documents|identity id|licence license
permit permission|renew extend|expire lapse|expiry expiration|theme mode|text font|usa america american
uk britain british|europe eu european|uber taxi cab|rubbish trash garbage waste|bin recycling-bin|post mail
petrol gas gasoline|trousers pants|nappy diaper|chips fries|crisps potato-chips|biscuit cookie|tap faucet|torch flashlight
cancel cancellation|arrive arrival|pay payment|apply application|decline declined rejected reject denied deny refused
withdraw withdrawal|deposit pay-in|activate activation|verify verification|identify identification|authenticate authentication
permit authorise authorize|charge charged|form formation|behave behaviour behavior|colour color|favourite favorite
organise organize|organisation organization|centre center|metre meter|theatre theater|cheque check|grey gray|cancelled canceled
recognise recognize|programme program|enrolment enrollment|travelling traveling|jewellery jewelry|realise realize
"""


def _canonical() -> dict[str, frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for number, group in enumerate(_SYNONYMS.replace("\n", "|").split("|")):
        for word in group.split():
            groups.setdefault(word.replace("-", ""), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in groups.items()}


SYNONYMS: Mapping[str, frozenset[int]] = _canonical()
"""The groups of each word: two words with a group in common may stand for one another."""

_CONTRASTS = """
before after during|must can may|used left remaining unused|taken left remaining|over under above below beneath|with without|inside outside|in out|up down|on off|from to|more less fewer
most least|maximum minimum max min|highest lowest|high low|higher lower|best worst|better worse|good bad|large small big
largest smallest biggest|long short|longest shortest|fast slow|fastest slowest|quickly slowly|cheap expensive
cheapest dearest|early late|earlier later|earliest latest|first last|next previous|new old|newest oldest|young old
younger older|hot cold warm|heavy light|hard soft|hard easy|difficult easy|strong weak|wet dry|open close closed shut
opening closing|start stop end finish|begin end|enable disable|activate deactivate|lock unlock|block unblock|freeze unfreeze
mute unmute|follow unfollow|subscribe unsubscribe|install uninstall|connect disconnect|link unlink|login logout
increase decrease reduce lower raise|gain lose|add remove delete subtract|add multiply divide subtract|insert extract
import export|upload download|upgrade downgrade|update downgrade|send receive|buy sell rent|borrow lend|give take
deposit withdraw|deposit withdrawal|debit credit|income expense|profit loss|win lose|pass fail|accept reject decline refuse
approve reject deny decline|claim submit|allow forbid prohibit ban block|allowed forbidden prohibited|legal illegal|safe unsafe dangerous
cover exclude|include exclude|included excluded|including excluding|refundable nonrefundable|paid unpaid free|free paid premium
public private|internal external|domestic international|local global remote|online offline instore|home abroad
indoor outdoor|north south east west|northern southern eastern western|left right|top bottom|front back rear
morning afternoon evening night noon midnight lunchtime|breakfast lunch dinner brunch|today tomorrow yesterday tonight
monthly yearly annual weekly daily hourly quarterly|day week month year|weekday weekend|summer winter spring autumn
am pm|man woman boy girl|men women boys girls|male female|mens womens|husband wife|son daughter|brother sister
mother father|uncle aunt|king queen|he she|his her|him her|adult child baby teenager senior pensioner student
adults kids|employee employer contractor|employed selfemployed unemployed|permanent temporary|fulltime parttime
landlord tenant|buyer seller|sender recipient|teacher student|doctor nurse patient|visitor resident|member nonmember guest
members visitors|owner renter|parent child|single married divorced|single joint|single double return|oneway return roundtrip
virus bacteria|positive negative|true false|right wrong|correct incorrect|success failure|cause effect|causes effects symptoms treatment cure
cause treatment prevention|symptoms causes|prevent cause|improve worsen|rise fall|rising falling|grow shrink
advantages disadvantages|advantage disadvantage|pros cons|benefits drawbacks risks|benefit risk|strengths weaknesses
introvert extrovert|friend enemy|love hate|like dislike|happy sad|alive dead|rich poor|full empty|thick thin|wide narrow
deep shallow|tall short|loud quiet|clean dirty|sweet sour salty|spicy mild|raw cooked|fresh frozen|vegan vegetarian
red blue green yellow black white orange purple brown pink|gold silver bronze platinum|dark light|sunrise sunset
android ios|iphone android|windows mac linux macos|chrome firefox safari edge|java javascript python ruby php rust golang
visa mastercard amex|usd gbp eur jpy|dollars euros pounds yen rupees|celsius fahrenheit kelvin|kilometers miles|grams ounces
pause resume|hire fire|attach detach|encrypt decrypt|compress decompress|push pull|read write|input output|ascending descending
horizontal vertical|even odd|always never sometimes|all none some|every no|everyone nobody|both neither|must may
should must|recommended avoid|physical virtual|standard express|regular deep|basic pro premium enterprise business personal
car home pet travel life health contents buildings insurance-none|house car boat|cat dog|cats dogs|tea coffee|beer wine
train bus plane ferry|arrival departure|arrive depart leave|arrivals departures|checkin checkout|entrance exit|enter leave exit
pregnant breastfeeding|fever cough headache|vitamin mineral|type1 type2|hyper hypo|hypertension hypotension
systolic diastolic|acute chronic|oral topical|benign malignant|upper lower|ebook paperback hardcover|bachelor master
bachelors masters phd|undergraduate postgraduate graduate|primary secondary|singular plural|past future present
plaintiff defendant|supply demand|import export|exothermic endothermic|mitosis meiosis|dna rna|ac dc
spanish french german italian english chinese japanese russian hindi arabic portuguese dutch korean latin polish turkish
transfer withdrawal topup deposit|weather traffic news|timer alarm reminder|create delete|make break|build destroy|show hide
expand collapse|maximize minimize|zoomin zoomout|save discard|undo redo|copy cut paste|lend borrow|inbound outbound
incoming outgoing|upstream downstream|manual automatic|optional mandatory required|voluntary compulsory|partial full
half whole double triple|once twice thrice|original copy|natural artificial|real fake|major minor|general specific
"""


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in _CONTRASTS.replace("\n", "|").split("|"):
        for one, other in combinations(group.split(), 2):
            if SYNONYMS.get(one, frozenset()) & SYNONYMS.get(other, frozenset()):
                continue
            for word, against in ((one, other), (other, one)):
                for form in (word, stem(word)):
                    found.setdefault(form, set()).update((against, stem(against)))
    return {word: frozenset(others) for word, others in found.items()}


OPPOSITES = _opposites()
"""The words that exclude each word: one in one question and the other in the other is another question."""

SCOPES = words_of(
    "only solely exclusively except joint extended international domestic global premium basic enterprise business corporate "
    "personal commercial private public gift temporary permanent parttime fulltime selfemployed junior senior student students "
    "pensioner pensioners child children kid kids teenager baby infant toddler adult adults colleague colleagues coworker "
    "boss employee employees contractor contractors visitor visitors resident residents tenant landlord wife husband "
    "spouse partner son daughter mother father mum mom dad brother sister friend friends family parents grandparents dog cat "
    "puppy pregnant pregnancy breastfeeding diabetic vegan vegetarian disabled abroad overseas offline instore online "
    "default legacy beta annual yearly monthly weekly daily hourly quarterly weekend weekends weekday weekdays "
    "first last next previous second third half double triple twice minimum maximum average total cheapest fastest longest "
    "shortest highest lowest largest smallest biggest oldest youngest newest latest best worst free always never "
    "all every any each other another else insteadof emergency urgent virtual physical disposable contactless wholesale "
    "retail bulk second-hand used refurbished women men woman man girls boys female male"
)
"""A word of these in one question alone narrows, widens or moves what is asked for."""
HARMLESS_SCOPES = words_of("any all every each first other best online free used another else")
"""Scopes that people add without meaning much: left to the scorer when only one question has them."""
