"""Pairs that look alike and ask for different things, and pairs that ask the same: no wrong hit, ever."""

import gzip
import json
import os
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.caching.answers import normalize
from ragkit.caching.semantic import same_question, signature

DATA = os.environ.get("RAGKIT_TEST_DATA")

OPPOSITES = (
    "enable disable",
    "open close",
    "increase decrease",
    "activate deactivate",
    "install uninstall",
    "lock unlock",
    "subscribe unsubscribe",
    "upload download",
    "import export",
    "connect disconnect",
    "accept reject",
    "approve deny",
    "buy sell",
    "deposit withdraw",
    "attach detach",
    "encrypt decrypt",
    "compress decompress",
    "log-in log-out",
    "start stop",
    "raise lower",
    "add remove",
    "show hide",
    "include exclude",
    "allow forbid",
    "join leave",
    "send receive",
    "lend borrow",
    "push pull",
    "pass fail",
    "win lose",
)

TEMPLATES = ("How do I {} the service?", "Can I {} the account by phone?", "What happens when I {} the plan?")

SWAPS = """
Is the pump waterproof? | Is the pump not waterproof?
Can I pay by card? | Can I not pay by card?
Which parts are covered? | Which parts are not covered?
Which plans include support? | Which plans do not include support?
Who can approve a refund? | Who can't approve a refund?
What does the warranty cover? | What doesn't the warranty cover?
Do I need a visa? | Don't I need a visa?
Is smoking allowed? | Is smoking never allowed?
Can I travel with a passport? | Can I travel without a passport?
Is there any fee? | Is there no fee?
When should I call? | When should I not call?
Are pets allowed in rooms? | Aren't pets allowed in rooms?
Which users have access? | Which users have no access?
Why did the build fail? | Why didn't the build fail?
Has the order shipped? | Hasn't the order shipped?
What is the fee for 10 users? | What is the fee for 100 users?
What is new in version 2.1? | What is new in version 2.10?
What was the revenue in 2022? | What was the revenue in 2023?
Does it take 5 days? | Does it take 15 days?
What is the limit for 1,000 calls? | What is the limit for 10,000 calls?
Is 3.5 GB enough? | Is 35 GB enough?
How do I fix error 403? | How do I fix error 404?
What does section 7 say? | What does section 17 say?
Is the rate 4%? | Is the rate 4?
Can I return it after 30 days? | Can I return it after 60 days?
What happens on the first day? | What happens on the second day?
What happens after one failure? | What happens after two failures?
Who came third? | Who came fourth?
What is the price in $? | What is the price in €?
What is -5 plus 3? | What is 5 plus 3?
What is 1/2 of the dose? | What is 1/4 of the dose?
Is the pressure 2 bar? | Is the pressure 2 psi?
How far is 10 km? | How far is 10 mi?
How long is 5 min? | How long is 5 h?
What is the dose in mg? | What is the dose in g?
What is the capital of Niger? | What is the capital of Nigeria?
Who founded Apple? | Who founded Google?
What is the weather in Paris? | What is the weather in London?
Does it support Java? | Does it support JavaScript?
Who is the CEO? | Who is the CFO?
How do I reach Anna? | How do I reach Anne?
Where is Austria? | Where is Australia?
How is Slovakia governed? | How is Slovenia governed?
What does Sonnet cost? | What does Opus cost?
How do I install Python? | How do I install PyPy?
What is the US policy? | What is the us policy?
What does WHO recommend? | What does who recommend?
How does IT work? | How does it work?
How do I use C? | How do I use C++?
How do I use C? | How do I use C#?
What is GPT-4? | What is GPT-4o?
Is model A cheaper? | Is model B cheaper?
Where is gate A1? | Where is gate A2?
Who wrote Emma? | Who wrote Hamlet?
What is the EU rule? | What is the UK rule?
When does the office open? | When did the office open?
When will it ship? | When did it ship?
Who is the president? | Who was the president?
What are the rules? | What were the rules?
Where do I live? | Where did I live?
Is the shop open? | Was the shop open?
Has it been paid? | Will it be paid?
What happens before the update? | What happens after the update?
What is due today? | What is due tomorrow?
What was closed yesterday? | What was closed today?
What is open on Monday? | What is open on Tuesday?
What is planned for May? | What is planned for June?
What is the morning dose? | What is the evening dose?
How do I pay monthly? | How do I pay yearly?
Is it available now? | Is it available later?
How many users can join? | How much users can join?
Which user has access? | Who has access?
What is the policy? | Where is the policy?
When is the meeting? | Where is the meeting?
Why is it slow? | How is it slow?
How do I pay? | When do I pay?
How do I pay? | Why do I pay?
Who pays the fee? | Who gets the fee?
Whose car is it? | Which car is it?
How often is it checked? | How long is it checked?
How old is the building? | How tall is the building?
How far is the station? | How near is the station?
Do all users need a key? | Do some users need a key?
Do all users need a key? | Do no users need a key?
Is every plan covered? | Is any plan covered?
What is the maximum size? | What is the minimum size?
What is the least expensive plan? | What is the most expensive plan?
What is the best plan? | What is the worst plan?
What is the highest price? | What is the lowest price?
Is it more than enough? | Is it less than enough?
Who has more seats? | Who has fewer seats?
Is the old model faster? | Is the new model faster?
What is the first step? | What is the last step?
Can I use only the app? | Can I use the app?
Can I use just one key? | Can I use one key?
Is it also free? | Is it free?
Is it still free? | Is it free?
Is it always free? | Is it sometimes free?
Is it exactly 5 m? | Is it about 5 m?
How do I transfer from A to B? | How do I transfer from B to A?
Does the server call the client? | Does the client call the server?
Can a manager fire an employee? | Can an employee fire a manager?
Is Rome older than Athens? | Is Athens older than Rome?
How do I convert PDF to Word? | How do I convert Word to PDF?
Did the dog bite the man? | Did the man bite the dog?
Who owes the bank? | Who does the bank owe?
How do I move files from disk to cloud? | How do I move files from cloud to disk?
What do I send to Anna? | What do I get from Anna?
Is it above the door? | Is it below the door?
Is it inside the box? | Is it outside the box?
How do I sign in? | How do I sign up?
How do I sign in? | How do I sign out?
How do I log in? | How do I log out?
How do I turn on the light? | How do I turn off the light?
How do I set up the alarm? | How do I set off the alarm?
What is on the table? | What is under the table?
Is it for me? | Is it from me?
Who works for Anna? | Who works with Anna?
Is it due by Friday? | Is it due on Friday?
Is it due until Friday? | Is it due from Friday?
Can I cancel it? | Should I cancel it?
Can I cancel it? | Must I cancel it?
Can I cancel it? | May I cancel it?
Do I have to pay? | Can I pay?
Should I restart? | Must I restart?
Could I be fined? | Will I be fined?
Can I enter? | Can you enter?
Is it my card? | Is it your card?
What is my limit? | What is the limit?
Did he sign? | Did she sign?
What are our duties? | What are their duties?
Is this allowed? | Is that allowed?
Is a limit set? | Is the limit set?
What is a rate? | What is the rate?
Is the battery included? | Is the charger included?
How do I clean the filter? | How do I replace the filter?
What does a new card cost? | What does a card cost?
Can I get a virtual card? | Can I get a disposable virtual card?
Why was my card declined? | Why was my payment declined?
Why was my transfer declined? | Why is my transfer pending?
How do I change my PIN? | How do I unblock my PIN?
Where is my card? | Where is my old card?
How do I track my card? | How do I activate my card?
I need to verify my identity | Do I need to verify my identity?
The limit is 5 | Is the limit 5?
I can cancel | Can I cancel?
What is safe for adults? | What is safe for children?
Is it safe for dogs? | Is it safe for cats?
Is it legal? | Is it illegal?
Is it possible? | Is it impossible?
Is the data public? | Is the data private?
Is it reversible? | Is it irreversible?
Is the form complete? | Is the form incomplete?
Is it a valid key? | Is it an invalid key?
Is it regular? | Is it irregular?
Is he able? | Is he unable?
Is the room occupied? | Is the room unoccupied?
Is it a direct flight? | Is it an indirect flight?
Are internal calls free? | Are external calls free?
Is the input checked? | Is the output checked?
Is the north gate open? | Is the south gate open?
Is the left lane closed? | Is the right lane closed?
Is hot water included? | Is cold water included?
Is the test positive? | Is the test negative?
Is it a male part? | Is it a female part?
Is the red light on? | Is the green light on?
Is it the same size? | Is it a different size?
Is day care free? | Is night care free?
Is the short form enough? | Is the long form enough?
Is it a full refund? | Is it a partial refund?
Is the API synchronous? | Is the API asynchronous?
Is 10 > 5? | Is 10 < 5?
Is A & B true? | Is A | B true?
What is x + y? | What is x - y?
What is 5! | What is 5
What is f(x)? | What is f'(x)?
What is H2O? | What is H2O2?
What is a.b? | What is a/b?
Is it user@example.com? | Is it user@example.org?
What is at /etc/hosts? | What is at /etc/passwd?
Tell me what is open | Tell me what is not open
Could you tell me who pays? | Could you tell me who does not pay?
Please tell me when it opens | Please tell me when it closes
""".strip().split("\n")

SAME = """
How do I reset my PIN? | How can I reset my PIN
How do I reset my PIN? | how to reset my PIN
What is the warranty period? | Could you tell me what the warranty period is
What is the warranty period? | what's the warranty period?
Can I cancel the order? | Is it possible to cancel the order?
Can I cancel the order? | Hi, can I cancel the order please
Where is the office? | Hello, where's the office? Thanks
Why can't I log in? | Why can not I log in?
Who is in charge? | Do you know who is in charge?
When does the shop open? | Please tell me when the shop does open
""".strip().split("\n")


def wrong_pairs() -> list[tuple[str, str]]:
    built = [
        (template.format(one), template.format(other))
        for pair in OPPOSITES
        for one, other in [pair.split()]
        for template in TEMPLATES
    ]
    return built + [(one, other) for line in SWAPS for one, other in [line.rsplit(" | ", 1)]]


def test_there_are_enough_pairs() -> None:
    assert len(set(wrong_pairs())) >= 250


@pytest.mark.parametrize(("one", "other"), wrong_pairs())
def test_alike_is_not_the_same(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)
    assert not same_question(one, other)
    assert not same_question(other, one)
    assert not same_question(f"Hi, {one[0].lower()}{one[1:]}", other)


@pytest.mark.parametrize("line", SAME)
def test_words_without_weight_may_differ(line: str) -> None:
    one, other = line.split(" | ")
    assert same_question(one, other)


@given(st.text(max_size=80), st.text(max_size=80))
def test_it_is_symmetric_and_never_sure_of_nothing(one: str, other: str) -> None:
    assert same_question(one, other) == same_question(other, one)
    assert bool(signature(one)) == same_question(one, one)


@given(st.text(max_size=80))
def test_normalizing_twice_is_normalizing_once(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.skipif(not DATA, reason="RAGKIT_TEST_DATA names no folder")
def test_no_pair_of_different_faqs_is_taken_for_one() -> None:
    rows = [json.loads(line) for line in (Path(str(DATA)) / "faq_similarity" / "pairs.jsonl").read_text().splitlines()]
    assert not [row for row in rows if row["label"] == 0 and same_question(row["text_a"], row["text_b"])]


@pytest.mark.skipif(not DATA, reason="RAGKIT_TEST_DATA names no folder")
def test_queries_of_different_intents_are_told_apart() -> None:
    """Three pairs of 6,660 queries carry different labels although their words ask the same."""
    with gzip.open(Path(str(DATA)) / "banking77" / "queries.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    groups = defaultdict(list)
    for row in rows:
        if asked := signature(row["text"]):
            groups[asked].append(row)
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    wrong = [(one["text"], other["text"]) for one, other in pairs if one["intent"] != other["intent"]]
    assert len(wrong) <= len(rows) // 2000
    assert len(pairs) >= 10 * len(wrong)
