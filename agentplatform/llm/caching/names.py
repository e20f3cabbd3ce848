"""Names that are recognised in lower case too: places, peoples, currencies, makers, people."""

from __future__ import annotations

from agentplatform.llm.caching.stems import words_of

NAMES = words_of("""
afghanistan albania algeria argentina armenia australia austria bahrain bangladesh belarus belgium bolivia bosnia brazil
bulgaria cambodia cameroon canada chile china colombia croatia cuba cyprus czechia denmark ecuador egypt england estonia
ethiopia finland france germany ghana greece guatemala haiti honduras hungary iceland india indonesia iran iraq ireland
israel italy jamaica japan jordan kazakhstan kenya kuwait laos latvia lebanon libya lithuania luxembourg malaysia malta
mexico moldova mongolia morocco mozambique myanmar nepal netherlands nicaragua nigeria norway oman pakistan palestine
panama paraguay peru philippines poland portugal qatar romania russia rwanda scotland senegal serbia singapore slovakia
slovenia somalia spain sudan sweden switzerland syria taiwan tanzania thailand tunisia turkey uganda ukraine uruguay
uzbekistan venezuela vietnam wales yemen zambia zimbabwe hawaii alaska california texas florida nevada arizona ohio
michigan georgia virginia colorado oregon utah illinois pennsylvania massachusetts minnesota wisconsin maryland kentucky
tennessee alabama mississippi louisiana missouri kansas nebraska dakota montana idaho wyoming oklahoma arkansas iowa
indiana delaware connecticut vermont maine ontario quebec
london paris berlin madrid rome vienna amsterdam brussels lisbon dublin edinburgh glasgow manchester birmingham liverpool
leeds bristol brighton oxford cambridge cardiff belfast york newcastle sheffield nottingham leicester munich hamburg
frankfurt cologne stuttgart zurich geneva milan venice florence naples barcelona valencia seville porto athens istanbul
moscow warsaw prague budapest bucharest sofia stockholm oslo copenhagen helsinki tokyo osaka kyoto seoul beijing shanghai
delhi mumbai bangalore chennai kolkata hyderabad pune karachi lahore dhaka bangkok hanoi jakarta manila sydney melbourne
brisbane perth auckland toronto montreal vancouver ottawa calgary chicago boston seattle denver houston dallas austin
miami atlanta philadelphia phoenix portland detroit orlando vegas nashville cleveland pittsburgh baltimore sacramento
dubai cairo lagos nairobi johannesburg casablanca lima bogota santiago havana
french german italian spanish portuguese dutch russian polish turkish arabic hebrew hindi urdu bengali tamil chinese
mandarin cantonese japanese korean vietnamese thai swedish norwegian danish finnish greek latin irish scottish welsh
english british american canadian australian indian mexican brazilian african asian european
usd gbp eur jpy cad aud chf inr cny euro euros yen yuan rupee rupees peso pesos ruble franc
google microsoft apple amazon facebook twitter instagram whatsapp youtube netflix spotify tesla toyota honda ford bmw
audi mercedes volkswagen nissan hyundai samsung sony nokia motorola lenovo dell asus intel nvidia amd oracle ibm sap
salesforce slack zoom teams jira trello github gitlab bitbucket aws azure paypal klarna stripe visa mastercard amex venmo
starbucks mcdonalds walmart costco tesco ikea nike adidas ryanair easyjet delta lufthansa emirates uber lyft airbnb
vodafone verizon comcast orange iphone ipad macbook android ios windows linux ubuntu macos chrome firefox safari
python java javascript typescript ruby php rust golang kotlin swift django flask rails react angular vue postgres
postgresql mysql sqlite mongodb redis kafka docker kubernetes excel word powerpoint outlook gmail wikipedia quora reddit
aspirin ibuprofen paracetamol acetaminophen tylenol advil amoxicillin penicillin metformin insulin atorvastatin
lisinopril warfarin prednisone xanax prozac zoloft adderall melatonin
john james robert michael william david richard joseph thomas charles daniel matthew anthony mark paul steven andrew kevin
brian george edward peter henry sam tom jack harry oliver mary patricia jennifer linda elizabeth barbara susan jessica
sarah karen nancy lisa betty margaret sandra ashley emily donna michelle carol amanda melissa laura anna emma olivia sophie
alice kate jane maria trump obama clinton biden putin modi einstein newton shakespeare hitler gandhi lincoln
christmas easter thanksgiving halloween ramadan diwali hanukkah
mars venus jupiter saturn mercury neptune uranus pluto
bitcoin ethereum
""")
