"""Whether a reasoning gives the answer away, in English, Japanese and Chinese."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeu.core.leak import POLICIES, LeakReport, commits_to_answer, states_reference
from qeu.core.record import CATEGORIES

ANY_TEXT = st.text(st.characters(), max_size=120)

# (reasoning, question, category): guidance that holds the answer back
GUIDANCE = [
    ("Think what the loop will print 3 times.", "What does this loop do?", "code"),
    ("It should print 0 if the list is empty.", "Write a function that counts.", "code"),
    ("Ask what the code will print for each input.", "What does this code do?", "code"),
    ("It would display 5 lines at a time.", "Write a pager.", "code"),
    (
        "Look at it as a basic square-root operation; think about which perfect squares "
        "lie near it.",
        "Find the square root of 156.",
        "math",
    ),
    (
        "Look at it as a basic square-root operation, think about the order of "
        "operations and whether it can be simplified.",
        "Find the square root of 156.",
        "math",
    ),
    (
        "Step 1: list the perfect squares around 156. Step 2: decide between which two "
        "of them it lies.",
        "Find the square root of 156.",
        "math",
    ),
    (
        "1. Factor 156.\n2. Look for square factors.\n3. Give the answer to 2 decimal places.",
        "Find the square root of 156.",
        "math",
    ),
    ("Divide by 2, then check the remainder.", "Is 156 even?", "math"),
    ("You should answer in 3 sentences and at most 5 lines.", "Write about autumn.", "creative"),
    (
        "Consider the 4 seasons and how farmers live through them.",
        "Why do farmers plan ahead?",
        "open_qa",
    ),
    (
        "Creator should describe a girl of 12 who lost her dog in 1987.",
        "Write a story.",
        "creative",
    ),
    ("Think of the first 2 things a traveller needs.", "What should I pack?", "open_qa"),
    ("Make sure the answer is clear and concise.", "What is photosynthesis?", "open_qa"),
    ("Check whether the answer is consistent with the passage.", "Who wrote it?", "closed_qa"),
    ("The answer is in the second paragraph of the passage.", "Who wrote it?", "closed_qa"),
    ("Explain what the result is and why it matters.", "Explain entropy.", "open_qa"),
    ("Therefore, it is important to consider the audience.", "Write an ad.", "open_qa"),
    ("Thus the key is to compare the two.", "Compare tea and coffee.", "open_qa"),
    ("Compare option A with option B before deciding.", "Which? A) cat B) car", "classification"),
    ("Eliminate option A first, then weigh the others.", "Which? A) cat B) car", "classification"),
    (
        "Consider whether the tone is positive or negative.",
        "Classify the sentiment: I love it",
        "classification",
    ),
    ("Think about what happened between 1939 and 1945.", "What happened in 1939-1945?", "open_qa"),
    ("Multiply by 9/5 and add 32.", "Convert 20 C to F.", "math"),
    (
        "Recall that the sum of the digits tells whether a number can be divided by 3.",
        "Is 123 divisible by 3?",
        "math",
    ),
    ("Use H2O and COVID-19 as examples.", "Name a molecule.", "open_qa"),
    ("Write about 120 words.", "Explain rain.", "open_qa"),
    (
        "You should keep the translation natural; the translation is usually shorter "
        "than the source.",
        "Translate: 猫",
        "translation",
    ),
    (
        "まず、156に近い平方数を考え、その間にあることを確かめましょう。",
        "156の平方根を求めてください。",
        "math",
    ),
    ("答えは簡潔に書いてください。", "首都はどこですか？", "open_qa"),
    ("答えが何かを考える前に、条件を整理します。", "3と5の和は？", "math"),
    ("質問の意図を理解し、3つの観点から説明するとよい。", "なぜ空は青いですか？", "open_qa"),
    ("つまり、読者が何を知りたいかを考えるべきである。", "なぜ空は青いですか？", "open_qa"),
    ("問題の理解は大切です。見解は分かれることを示しましょう。", "AIとは何ですか？", "open_qa"),
    ("よって、まず式を立てることが重要です。", "3と5の和は？", "math"),
    ("作成者は5行以内で物語を書くべきである。", "物語を書いて", "creative"),
    ("首先理解题目的要求，然后列出3个要点。", "为什么天空是蓝色的？", "open_qa"),
    ("因此需要考虑读者的背景。", "写一篇广告", "open_qa"),
    ("检查答案是否合理。", "156的平方根是多少？", "math"),
    ("所以重点是比较两者的异同。", "比较茶和咖啡", "open_qa"),
    ("确保答案是完整的句子。", "什么是光合作用？", "open_qa"),
    ("用5句话说明步骤1和步骤2。", "如何泡茶？", "open_qa"),
    ("你应该先找出接近156的完全平方数。", "156的平方根是多少？", "math"),
    (
        "Identify the capital city by thinking of the seat of government.",
        "What is the capital of France?",
        "open_qa",
    ),
    (
        "Recall what the capital of France is known for.",
        "What is the capital of France?",
        "open_qa",
    ),
    ("Recall that World War II is a major event.", "When did World War II end?", "open_qa"),
    ("Break the problem into 2 equations with 2 unknowns.", "Solve x+y=3, x-y=1", "math"),
    (
        "Use the formula A = 1/2 × base × height.",
        "Area of a triangle with base 4 and height 6",
        "math",
    ),
    ("The product of two negatives is positive, so watch the signs.", "-3 times -4?", "math"),
    ("Choose A word that fits.", "Pick a word", "classification"),
    ("If the answer is Paris, say so; otherwise keep looking.", "Which city?", "open_qa"),
    ("First look at the 3-digit numbers.", "How many 3-digit numbers are even?", "math"),
    ("結果は表にまとめるとよい。", "売上は？", "summarization"),
    ("Use option: verbose", "Run a tool", "code"),
    (
        "Begin by asking what the passage says about its author, then weigh each clue.",
        "Who wrote the letter?",
        "closed_qa",
    ),
    (
        "Recall how plants use light, and outline the inputs before the outputs.",
        "What is photosynthesis?",
        "open_qa",
    ),
    (
        "Set up a proportion between the two ratios and solve for the unknown.",
        "If 3 pens cost 4 dollars, what do 9 pens cost?",
        "math",
    ),
    (
        "Convert both lengths to the same unit first, then subtract.",
        "How much longer is 2 m than 150 cm?",
        "math",
    ),
    (
        "You should open with a striking image. You should end on a quiet note.",
        "Write a poem about rain.",
        "creative",
    ),
    (
        "List at least 10 possible uses, then group them by theme.",
        "Name uses for a brick.",
        "brainstorming",
    ),
    (
        "Decide which of the labels fits the tone best; look for words that carry feeling.",
        "Label: happy or sad? 'I miss you'",
        "classification",
    ),
    (
        "Think about whether the speaker is being sincere or ironic.",
        "Is this sarcasm?",
        "classification",
    ),
    (
        "Read the text twice, note the 3 main claims, and leave out the examples.",
        "Summarise the text.",
        "summarization",
    ),
    (
        "Keep the subject first, and pay attention to the tense of the verb.",
        "Translate: 私は昨日寿司を食べた",
        "translation",
    ),
    (
        "The result is only as good as the evidence, so look for sources.",
        "Is coffee healthy?",
        "open_qa",
    ),
    (
        "The solution to this kind of problem usually starts with a diagram.",
        "Find x in the triangle.",
        "math",
    ),
    (
        "Remember that a prime has exactly two divisors, and test the small primes in turn.",
        "Is 91 prime?",
        "math",
    ),
    ("Hence the first thing to do is to collect like terms.", "Simplify 3x+2x", "math"),
    (
        "Consider loop invariants and choose O(n) time if possible.",
        "Reverse a list in Python",
        "code",
    ),
    ("Use an index that starts at 0 and stops before n.", "Write a loop", "code"),
    ("Look up what century it happened in, and who was in power.", "Who ruled then?", "open_qa"),
    (
        "まず質問が何を聞いているかを読み取り、必要な知識を思い出します。",
        "光合成とは何ですか？",
        "open_qa",
    ),
    ("単位をそろえてから引き算をするとよいでしょう。", "2mは150cmよりどれだけ長い？", "math"),
    ("あなたは読者の気持ちを想像して書くべきです。", "詩を書いて", "creative"),
    ("選択肢を一つずつ消していくと整理しやすい。", "どれが正しい？", "classification"),
    ("原文の時制に注意し、主語を補って訳すと自然です。", "訳してください", "translation"),
    ("割り算と余りの関係を使って考えてみましょう。", "17を5で割った余りは？", "math"),
    ("この問題は比の考え方を使うと解きやすくなります。", "3本4ドルなら9本は？", "math"),
    ("结果取决于你如何理解题意，先把条件列出来。", "小明有几个苹果？", "math"),
    ("先回忆相关概念，再用简单的例子解释。", "什么是通货膨胀？", "open_qa"),
    ("这道题的关键是统一单位。", "2米比150厘米长多少？", "math"),
    ("注意原文的语气，译文要自然流畅。", "翻译：猫", "translation"),
    ("你应该先描写场景，然后写人物的感受。", "写一个故事", "creative"),
    ("可以从三个角度来分析这个问题。", "为什么会下雨？", "open_qa"),
]

# (reasoning, question, category): these commit to an answer, right or wrong
COMMITTED = [
    ("The square root of 156 is approximately 12.49.", "Find the square root of 156.", "math"),
    ("First take the root. It is approximately 12.49…", "Find the square root of 156.", "math"),
    (
        "Since 12^2 = 144 and 13^2 = 169, it lies between 12 and 13.",
        "Find the square root of 156.",
        "math",
    ),
    ("The answer is 12.", "Find the square root of 156.", "math"),
    ("The correct answer is Paris.", "What is the capital of France?", "open_qa"),
    ("The capital of France is Paris.", "What is the capital of France?", "open_qa"),
    ("Paris is the capital of France, so mention it.", "What is the capital of France?", "open_qa"),
    ("Therefore, the largest planet is Jupiter.", "Which planet is largest?", "open_qa"),
    ("In conclusion the author was Jane Austen.", "Who wrote Emma?", "open_qa"),
    ("The war ended in 1945.", "When did the war end?", "open_qa"),
    ("We get x = 2 and y = 1.", "Solve x+y=3, x-y=1", "math"),
    ("Adding gives us 8 apples in total.", "Tom has 3 apples and gets 5 more. How many?", "math"),
    ("The answer is (B).", "Which? A) cat B) car", "classification"),
    ("Option B is the best choice.", "Which? A) cat B) car", "classification"),
    ("Choose B, because it drives.", "Which? A) cat B) car", "classification"),
    (
        "The sentence is classified as negative.",
        "Classify the sentiment: I hate it",
        "classification",
    ),
    ("'neko' translates to 'cat'.", "Translate: neko", "translation"),
    ("Answer: Paris", "Capital of France?", "open_qa"),
    ("The answer to the question is Paris.", "Capital of France?", "open_qa"),
    ("答えは12.49です。", "156の平方根を求めてください。", "math"),
    ("156の平方根は約12.49です。", "156の平方根を求めてください。", "math"),
    ("よって、首都は東京である。", "日本の首都はどこですか？", "open_qa"),
    ("日本の首都は東京です。", "日本の首都はどこですか？", "open_qa"),
    ("正解はBです。", "どれ？ A 猫 B 車", "classification"),
    ("つまり東京になります。", "日本の首都はどこですか？", "open_qa"),
    ("したがって合計は8個となる。", "りんご3個と5個、合計は？", "math"),
    ("答案是巴黎。", "法国的首都是哪里？", "open_qa"),
    ("法国的首都是巴黎。", "法国的首都是哪里？", "open_qa"),
    ("因此，156的平方根约等于12.49。", "156的平方根是多少？", "math"),
    ("所以最大的行星是木星。", "最大的行星？", "open_qa"),
    ("选B。", "哪个？A 猫 B 车", "classification"),
    ("正确答案为李白。", "谁写的？", "open_qa"),
    ("大约12.49。", "156的平方根是多少？", "math"),
    ("翻訳は「猫が好き」です。", "訳して", "translation"),
    ("The result is 42.", "What is 6 x 7?", "code"),
    ("The code will output 3, since three items remain.", "What does print(len(x)) do?", "code"),
    ("The program will print 'ab'.", "What does print('a' + 'b') do?", "code"),
    ("答えは七です。", "3と4の和は？", "math"),
    (
        "So the pens would cost 12 dollars.",
        "If 3 pens cost 4 dollars, what do 9 pens cost?",
        "math",
    ),
    ("2 m is 200 cm, which leaves 50 cm.", "How much longer is 2 m than 150 cm?", "math"),
    ("Ninety-one is divisible by 7 and 13, so it isn't prime.", "Is 91 prime?", "math"),
    ("The final answer is 5x.", "Simplify 3x+2x", "math"),
    ("This comes to roughly 3.14.", "What is pi?", "math"),
    ("The correct label is sad.", "Label: happy or sad? 'I miss you'", "classification"),
    ("The best option is C since it covers all cases.", "Which? A, B or C", "classification"),
    (
        "Mount Everest is the highest mountain in the world.",
        "What is the highest mountain in the world?",
        "open_qa",
    ),
    ("The answer would be yes.", "Is water wet?", "open_qa"),
    ("Light travels at 299,792 km per second.", "How fast is light?", "open_qa"),
    ("Consequently, the remainder equals 2.", "What is the remainder of 17 by 5?", "math"),
    ("答えは「はい」です。", "水は濡れている？", "open_qa"),
    ("余りは2になります。", "17を5で割った余りは？", "math"),
    ("9本なら12ドルになる。", "3本4ドルなら9本は？", "math"),
    ("一番高い山はエベレストです。", "一番高い山は何ですか？", "open_qa"),
    ("作者は夏目漱石である。", "この本の作者は誰ですか？", "open_qa"),
    ("結論として、91は素数ではない。", "91は素数ですか？", "math"),
    ("所以答案应该是12。", "3支4元，9支多少？", "math"),
    ("世界上最高的山是珠穆朗玛峰。", "世界上最高的山是哪座？", "open_qa"),
    ("余数等于2。", "17除以5的余数？", "math"),
    ("因此作者是曹雪芹。", "红楼梦的作者是谁？", "open_qa"),
    ("应选择C。", "A B C 哪个对？", "classification"),
]

# Known to be missed: the subject stands in a construction that has no cue.
MISSED = [
    ("It must have been Shakespeare who wrote it.", "Who wrote Hamlet?", "open_qa"),
    ("Hamlet was written by Shakespeare, so name him.", "Who wrote Hamlet?", "open_qa"),
]


def shown(report: LeakReport, text: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in report.spans]


@pytest.mark.parametrize(("text", "question", "category"), GUIDANCE)
def test_guidance_commits_to_nothing(text: str, question: str, category: str) -> None:
    report = commits_to_answer(text, question, category=category)
    assert not report.leaked, shown(report, text)


@pytest.mark.parametrize(("text", "question", "category"), COMMITTED)
def test_a_stated_answer_is_noticed_and_shown(text: str, question: str, category: str) -> None:
    report = commits_to_answer(text, question, category=category)
    assert report.leaked
    assert report.spans
    assert all(0 <= span.start < span.end <= len(text) for span in report.spans)


@pytest.mark.parametrize(("text", "question", "category"), MISSED)
def test_known_misses_are_still_missed(text: str, question: str, category: str) -> None:
    assert not commits_to_answer(text, question, category=category).leaked


def test_the_number_itself_is_pointed_at() -> None:
    text = "Take the root of it; that gives approximately 12.49 …"
    report = commits_to_answer(text, "Find the square root of 156.", category="math")
    assert shown(report, text) == [("number", "12.49")]


def test_numbers_of_the_question_are_free_in_any_spelling() -> None:
    question = "A town of 1,200 people grows by １５ percent in 2 million seconds."
    text = "Take 1200 first, then 15, then 2,000,000."
    assert not commits_to_answer(text, question, category="math").leaked


def test_small_numbers_count_only_in_arithmetic() -> None:
    text = "Look at 4 of them."
    assert commits_to_answer(text, "How many?", category="math").leaked
    assert not commits_to_answer(text, "How many?", category="open_qa").leaked


def test_every_category_has_a_policy_and_unknown_ones_the_strict_default() -> None:
    assert set(POLICIES) == set(CATEGORIES)
    text = "The answer is Paris."
    assert commits_to_answer(text, category="no such thing").leaked


# (reasoning, reference, question, category, leaked)
REFERENCES = [
    ("Think of the seat of government; it is Paris.", "Paris.", "Capital?", "open_qa", True),
    ("Think of the seat of government.", "Paris.", "Capital?", "open_qa", False),
    ("Do not be parisian about it.", "Paris", "Capital?", "open_qa", False),
    ("Was it Paris or Lyon? Decide.", "Paris", "Capital?", "open_qa", False),
    ("It is about 12.5, or 12.49.", "12.489996", "The root of 156?", "math", True),
    ("It lies above the root of 144.", "12.49", "The root of 156?", "math", False),
    ("Step 8: count again.", "8", "3 + 5?", "math", False),
    ("That makes 8.", "3 + 5 = 8. So Tom has 8 apples.", "3 apples and 5 more", "math", True),
    ("Decide whether it is positive or negative.", "Positive", "Tone?", "classification", False),
    ("The words are warm, so it is positive.", "Positive", "Tone?", "classification", True),
    ("The answer is negative.", "Negative", "Positive or negative?", "classification", True),
    ("Negative words count.", "Negative", "Positive or negative?", "classification", False),
    ("Compare option A with option B.", "B", "A) x B) y", "classification", False),
    ("Look closely at option B.", "B. car", "A) cat B) car", "classification", True),
    ("選択肢Bをよく見る。", "Ｂ", "どれ？", "classification", True),
    ("Yes, think about it.", "Yes", "Is it?", "open_qa", False),
    ("The answer is yes.", "Yes", "Is it?", "open_qa", True),
    ("政府のある場所は東京です。", "東京", "日本の首都は？", "open_qa", True),
    ("政府のある場所を考えます。", "東京", "日本の首都は？", "open_qa", False),
    ("それは四十二である。", "42", "6かける7は？", "math", True),
    ("想一想写《静夜思》的李白。", "李白", "谁写的？", "open_qa", True),
    ("想一想唐代的诗人。", "李白", "谁写的？", "open_qa", False),
    (
        "喫煙は、肺がんや心臓病などの病気の原因になることが報告されています。",
        "喫煙は肺がんや心臓病、COPDなどの病気の原因になると報告されています。ニコチンには中毒性もあります。",
        "タバコは悪いですか？",
        "open_qa",
        True,
    ),
    (
        "まず健康への影響を考え、次に社会への影響を考えて、順に説明しましょう。",
        "喫煙は肺がんや心臓病、COPDなどの病気の原因になると報告されています。ニコチンには中毒性もあります。",
        "タバコは悪いですか？",
        "open_qa",
        False,
    ),
]


@pytest.mark.parametrize(("text", "reference", "question", "category", "leaked"), REFERENCES)
def test_the_reference_answer_is_recognised(
    text: str, reference: str, question: str, category: str, leaked: bool
) -> None:
    report = states_reference(text, reference, question, category=category)
    assert report.leaked is leaked, shown(report, text)
    assert report.leaked == (report.score >= 0.5)
    assert bool(report.spans) == report.leaked


def test_across_languages_only_numbers_and_names_are_compared() -> None:
    reference = "人類は1969年に初めて月に着陸し、世界中の人々がその様子を見守りました。"
    question = "When was the first moon landing?"
    silent = states_reference("Recall the race to the moon.", reference, question)
    assert (silent.leaked, silent.partial) == (False, True)
    told = states_reference("Recall that it was in 1969.", reference, question)
    assert (told.leaked, told.partial) == (True, True)


def test_a_reference_without_words_is_compared_wholly_in_any_language() -> None:
    assert not states_reference("まず式を立てます。", "12.49", "root?", category="math").partial


def test_without_a_reference_nothing_leaks() -> None:
    assert states_reference("The answer is 5.", " \n") == LeakReport(False, 0.0, False, ())


def test_creative_reasoning_may_hold_numbers_but_not_the_story() -> None:
    story = "Mina found the lantern under the ice. She carried it home through the blue snow."
    guidance = "Creator should set it in 1890 with 3 friends and a lost object."
    question = "Write a story."
    assert not commits_to_answer(guidance, question, category="creative").leaked
    assert not states_reference(guidance, story, question, category="creative").leaked
    told = "Creator should say that Mina found the lantern under the ice."
    assert states_reference(told, story, question, category="creative").leaked


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.sampled_from([*CATEGORIES, "", "?"]))
def test_any_text_gets_ordered_spans_within_it(
    text: str, reference: str, question: str, category: str
) -> None:
    for report in (
        states_reference(text, reference, question, category=category),
        commits_to_answer(text, question, category=category),
    ):
        assert 0 <= report.score <= 1
        assert report.leaked == (report.score >= 0.5)
        starts = [span.start for span in report.spans]
        assert starts == sorted(starts)
        assert all(0 <= span.start < span.end <= len(text) for span in report.spans)


@given(st.text("0123456789.,/ =答案はは is answer\nABC()（）-", max_size=80))
def test_texts_made_of_cues_are_taken(text: str) -> None:
    first = commits_to_answer(text, text, category="math")
    assert first == commits_to_answer(text, text, category="math")


@pytest.mark.parametrize("unit", ["The answer is. ", "12 ", "答えは", "1,111", "((", "thus "])
def test_a_million_characters_finish(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    commits_to_answer(text, text[:3000], category="math")
    states_reference("Some words, and 5.", text, category="open_qa")
    states_reference(text, "Some words, and 5.", category="open_qa")
