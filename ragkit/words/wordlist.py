"""How much a word tells about what is asked, from how common it is across many kinds of texts.

Five chunks on one subject cannot say which words are rare in the world, so this list does. It was counted by
`bench/train_evidence.py words`; the entries are stems as `ragkit.words.text.stems` makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from string import ascii_letters

STOP = frozenset(
    """
    a about abov after agains all along also am among an and anothe any are around as at be been befor behind being
    below beneat besid betwee beyond both but by can could d did do doe doing don dur each everi except few for from
    giv had has hav he her him his how i if in insid into is it its just ll m mani may me might mor most much must
    my near no nor not of off on onli onto or other our out outsid over own pleas re s sam shall she should sinc so
    som such t tell than that the thei their them then ther thes this thos throug till to too toward under until up
    upon us ve veri via was we wer what when wher which who whom whos why will with within withou would yes you your
    """.split()  # noqa: SIM905
)

EVERYWHERE = """
    additi area bas becaus call cas chang comple data day differ direct ear exampl first follow found genera high
    includ known lik nam need new number one part popula produc provid public report requir respon rol set severa
    specif stat system thre tim two typ use used using well whil work year
"""

VERY_COMMON = """
    access accord across act action add admini age air al allow althou americ appear applic appoin assist associ
    author availa back becom best better build busine califo car caus charac childr chines citi classi clos cod
    collec com combin common commun compan concer condit consid consis contai conten contin contra contri contro
    counti countr court creat cultur curren dat death defin depart depend descri design detail determ develo distri
    docume due educat effect either end enter enviro establ even event exist experi fami featur februa field find
    fiv focus form format four full functi get given govern great group health help higher histor hom host hous
    howeve http human identi ii imag import improv increa indepe indivi influe inform instit intere intern involv
    issu januar key langua larg last later law lead less level lif limit lin list liv local locat locati long los
    low mad main major mak manage mean medica member model month mov multip nation natura next non north now offic
    often old open order organi origin parti partic peopl per perfor period person plac plai point positi possib
    power presen preven previo primar privat proces projec protec publis questi rang rat receiv record reduc region
    regula relat relati remain repres result return review right rul run scienc season second see select separa seri
    serv servic short show sid singl sit siz small specia stag standa start step still struct studi succes suppor
    tak team term test text though tool total unders unit univer valu variou versio way whethe wid world
"""

COMMON = """
    abl accept accoun achiev activ activi actual addres advanc affect africa again almost altern alwai amount analys
    announ answer approa approp approx archit assess august averag bank basic basis becam began begin believ benefi
    bill block board bodi book built calcul cannot captur catego center centra certai child china civil claim class
    clear colleg comman commer commis commit compar compli compos comput concep confir connec consta constr conver
    corpor correc cost counci cours cover credit critic cross david de decad decemb decid decisi despit discov
    diseas displa distin divisi down earlie easi east econom effici electr elemen enabl engine englis enhanc ensur
    entir especi estima europ europe evalua eviden execut expand expect explor facili fact factor fail fall far
    figur final financ fix flow footba forc franc fre freque furthe futur gain gam german global good grant greate
    green half hold hour immedi impact incom indica indust initia instal instan instea instru integr intera introd
    invest ita jam japan john judg keep know knowle label labora lack land lat learn least leav led left length
    librar light link litera littl longer lost lower mainta march market materi maximu measur media method michae
    middl milita millio minut modern necess networ numero object observ occur octobe offer office offici older onc
    operat option overal paper parame parent park partne pass past peak percen physic plan post potent practi pric
    prior probab proble profes progra progre promot proper qualit quick rais rather reach real reason recent recogn
    recomm recove red refer refere regard releas releva remov replac resear reserv reside risk river road robert
    room rout safeti said sampl san scal school scient scor screen secret sectio self sell sent sequen seven shar
    sign signif simila simpl situat six social someti soon sourc south spac sport spread statio stop strate strong
    studen subjec subseq sugges summar surfac surviv taken target task techni televi temper third threat thus todai
    togeth top tradit train transf transl transp travel treatm tru turn typica uk uniqu unknow updat usag usual vari
    variab video volum want water week weight west wester whol win women won word writ writte yet
"""

FREQUENT = """
    abilit academ accomp accura adapt adjust adopt adult advant affair agent agreem aid airpor alon alread analyz
    ancien animal annual anti app appare appli april arriv art articl asia ask aspect assemb assum atlant attack
    attemp austra automa avoid awai award bad balanc beach bear behavi belong birth black blood blu boost born box
    branch brazil break brief bring britis broad burn ca cam canada cancer candid capabi capita career carefu carri
    cell centr centur certif chain challe channe charg check chief choic christ citize climat co coast collab coloni
    color compet compon compre conduc confer confid conser consol consti consul contac contex conven copi cor corres
    count counte coupl creati crim crimin custom cut cycl dai damag daniel databa deal declar declin deep defend
    defini degre delive demons detect died diffic digita discus distan divers divid doctor domain domest doubl driv
    drug earn earth easter edg effort eight elder employ en encour engag englan enough entri episod equal error
    essent et eventu ever exact exchan exhibi expert explai expres extend extens extern extrac extrem fac failur
    fals faster fear federa feel femal fight fil fill film fin fir fit forest former forwar founda franci friend ful
    fund gav gen geogra georg go goal going grand ground grow growth guid hall hand handl head held highes hit
    hospit househ hundr id idea iii ill illust implem incorp index indian infect infras insigh inspir intell intend
    intent interf interp interv invasi island item itself johnso join joseph juli jun justic king kingdo la lak
    larger larges launch layer leader leagu legal load log look ma machin mal man manag manufa mark marria master
    match matter max mechan medici meet memori mentio mil min minor miss missio mix mod modifi monei monito moon
    mother mount mounta moveme multi music nativ negati neighb never nin nomina normal northe norwai novemb obtain
    opport owner packag path patien pay perhap planet platfo plot plus polici poor posses powerf pre predic premie
    prepar preser presid press pressu prim princi print propos protoc prov provin purpos put ratio read readi reflec
    refus regist rememb republ reques resour respec rest restor restri revenu richar ris robust rock rural say
    scenar script search securi seek seem seen sens septem seriou shap shown simp slight slow smalle softwa soluti
    southe spain spanis spe speak spot spring squar stai stand statis status stock stor stori stream street stress
    string styl substa suffer suit summer sur surrou survei tabl tag techno ten termin theref think thousa titl took
    town trad transi treat trial troubl try tv unabl union unlik usa useful user valida van variet ventur verifi
    victor view violen visit visual vot wait war washin wav whit willia wind winter worker worldw york young youth
    zon
"""


class _Weights(dict[str, float]):
    """A plain dictionary, because a question looks up every word of the chunks that it is answered from."""

    def __missing__(self, stem: str) -> float:
        return 1.0


_LISTED = ((FREQUENT, 0.8), (COMMON, 0.65), (VERY_COMMON, 0.5), (EVERYWHERE, 0.35))
weight: Callable[[str], float] = _Weights(
    {word: worth for listed, worth in _LISTED for word in listed.split()}
    | dict.fromkeys(STOP, 0.0)
    | dict.fromkeys(ascii_letters, 0.2)
).__getitem__
"""0 for words that carry grammar only, 1 for words that few texts contain."""
