"""The object types of AI2-THOR 5."""

_NAMES = """
AlarmClock AluminumFoil Apple AppleSliced ArmChair BaseballBat BasketBall Bathtub BathtubBasin Bed Blinds Book Boots
Bottle Bowl Box Bread BreadSliced ButterKnife Cabinet Candle Cart CD CellPhone Chair Cloth ClothesDryer
CoffeeMachine CoffeeTable CounterTop CreditCard Cup Curtains Desk DeskLamp Desktop DiningTable DishSponge DogBed
Drawer Dresser Dumbbell Egg EggCracked Faucet FloorLamp Footstool Fork Fridge GarbageBag GarbageCan HandTowel
HandTowelHolder HousePlant Kettle KeyChain Knife Ladle Laptop LaundryHamper Lettuce LettuceSliced LightSwitch
Microwave Mirror Mug Newspaper Ottoman Painting Pan PaperTowelRoll Pen Pencil PepperShaker Pillow Plate Plunger
Poster Pot Potato PotatoSliced RemoteControl Safe SaltShaker ScrubBrush Shelf ShelvingUnit ShowerCurtain ShowerDoor
ShowerGlass ShowerHead SideTable Sink SinkBasin SoapBar SoapBottle Sofa Spatula Spoon SprayBottle Statue Stool
StoveBurner StoveKnob TableTopDecor TargetCircle TeddyBear Television TennisRacket TissueBox Toaster Toilet
ToiletPaper ToiletPaperHanger Tomato TomatoSliced Towel TowelHolder TVStand VacuumCleaner Vase WashingMachine Watch
WateringCan Window WineBottle Ceiling Door Doorframe Doorway Floor RoomDecor Wall Undefined
"""

TYPES = tuple(_NAMES.split())
"""Values of the metadata's ``objectType``; the last eight are parts of a room."""
